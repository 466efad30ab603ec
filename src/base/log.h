/* log.h: a few words to whoever listens. Never called with a lock held. */
#ifndef DCMI_LOG_H
#define DCMI_LOG_H

#include <dcmem/log.h>

/* Formats and sends one line; costs one load when the level is below what is listened to. */
void dcmi_log(dcmem_log_level level, const char *component, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

#endif

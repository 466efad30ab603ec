/* report.h: what guards found, in words. */
#ifndef DCMI_REPORT_H
#define DCMI_REPORT_H

#include "guard/record.h"
#include "guard/zone.h"

typedef enum dcmi_harm {
    DCMI_HARM_OVERRUN,  /* bytes behind the end */
    DCMI_HARM_UNDERRUN, /* bytes before the beginning */
    DCMI_HARM_FREED     /* bytes of a block that was free */
} dcmi_harm;

/* Says it at level error and in the detail; returns DCMEM_E_CORRUPTED. `damage->first` counts from the beginning of the
 * block's bytes, and below it, for an underrun, from that of the zone. */
dcmem_result dcmi_report_harm(const dcmi_record *record, dcmi_harm harm, const dcmi_damage *damage);

/* Says what of these is live at the end: the largest one by one, then the sum of the rest. Their order changes. */
void dcmi_report_leaks(dcmi_record_copy *live);

/* "buffer 0x1000100000001, tag 7": whose block it is. */
void dcmi_report_name(char *text, size_t capacity, const dcmi_record *record);

#endif

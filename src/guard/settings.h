/* settings.h: what a manager's guards are to do: from its options, else from DCMEM_GUARDS in the environment. */
#ifndef DCMI_GUARD_SETTINGS_H
#define DCMI_GUARD_SETTINGS_H

#include <dcmem/guard.h>
#include <dcmem/manager.h>

typedef struct dcmi_guard_settings {
    uint32_t flags; /* DCMEM_GUARD_*; 0: no guards */
    uint32_t zone_bytes;
    uint64_t quarantine_bytes;
} dcmi_guard_settings;

/* DCMEM_E_INVALID_ARGUMENT names the option, or the word of the environment, that is wrong. */
dcmem_result dcmi_guard_settings_read(dcmi_guard_settings *out, const dcmem_manager_options *options);

/* Reads what DCMEM_GUARDS may say; pure but for the detail. */
dcmem_result dcmi_guard_settings_parse(dcmi_guard_settings *out, const char *text);

#endif

/* facts.h: what the machine is, as its files say. */
#ifndef DCMI_CPU_FACTS_H
#define DCMI_CPU_FACTS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct dcmi_cpu_facts {
    char name[96];
    char system[48]; /* "Linux 6.1.0-13-amd64" */
    uint8_t uuid[16];
    uint64_t cache_line_bytes;
    uint64_t last_level_cache_bytes;
    char nodes[64]; /* online NUMA nodes: "0-1,3" */
} dcmi_cpu_facts;

/* What is not there is 0 or "". */
void dcmi_cpu_facts_read(dcmi_cpu_facts *out);

/* Is `number` in a list such as "0-1,3"? Pure. */
bool dcmi_cpu_list_has(const char *list, uint32_t number);

/* Does a list such as "0-1,3" hold exactly one number? Pure. */
bool dcmi_cpu_list_is_single(const char *list);

/* "32768K" as bytes; 0 for what is no size. Pure. */
uint64_t dcmi_cpu_size_of(const char *text);

/* Total and free memory of a NUMA node; false when the system does not say. */
bool dcmi_cpu_node_memory(uint64_t *out_total, uint64_t *out_free, int32_t node);

#endif

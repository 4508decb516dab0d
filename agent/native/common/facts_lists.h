/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_FACTS_LISTS_H
#define PMSM_FACTS_LISTS_H

#include "common/json.h"

/* The longer parts of the facts: memory map, CPUs, PCI devices, network devices. */

bool facts_read_file(const char *path, char *text, size_t capacity);

/* Page frames that are present, in all zones: what the kernel compares as the memory's size. */
uint64_t facts_present_pages(void);

/* RAM that this kernel keeps for images and does not use itself (hibernate_loader=). */
uint64_t facts_image_ram_bytes(void);

void facts_put_memory_map(struct json *json);
void facts_put_cpu(struct json *json);
void facts_put_pci(struct json *json);
void facts_put_network(struct json *json);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef PMSM_OWNER_H
#define PMSM_OWNER_H

#include <stdbool.h>

/*
 * `owner`, of both programs: shows or changes what the disk says of its owner.
 *
 *     owner                one JSON document
 *     owner --settle NAME  this machine runs, so it is the owner; not if another one or none is
 *     owner --take NAME    a person knows that no other machine runs; enrols a disk, too
 *     --record WHERE       not what the kernel command line says
 *
 * `held`: an attempt is under way on this machine, or holds it; then only that may settle anything.
 */
int owner_command(int argc, char **argv, bool held);

#endif

/* SPDX-License-Identifier: MIT */
/* Which engine runs guests here, and the CPU that it can offer. */
#ifndef KR_DOMAIN_DESCRIBE_H
#define KR_DOMAIN_DESCRIBE_H

#include "hypervisor/engine/engine.h"

/* The engine by $KRYPTON_ENGINE ("soft", "kvm", "auto"; unset: auto). NULL, with a line in the log,
 * if it names one that cannot be used. */
const struct engine_ops *describe_engine(void);

/* `krypton-domain --describe`: sends KL_DESCRIPTION to the socket. Returns the exit status. */
int describe(int sock);

#endif

/* SPDX-License-Identifier: MIT */
/* The rows of a struct layout array, for whichever libxl.h was included before. */
#define STRUCT_TYPE(t) { "libxl_" #t, 0, sizeof(libxl_##t) },
#define ENUM_TYPE(t) { "libxl_" #t, 0, sizeof(libxl_##t) },
#define CONSTANT(c) { #c, c, 0 },
#define FIELD(t, f) { #t "." #f, offsetof(t, f), sizeof(((t *)0)->f) },
#include "libxl/_types_layout.h"
#undef STRUCT_TYPE
#undef ENUM_TYPE
#undef CONSTANT
#undef FIELD
#define PUBLIC_TYPE(t) { #t, 0, sizeof(t) }
PUBLIC_TYPE(libxl_asyncop_how),
PUBLIC_TYPE(libxl_asyncprogress_how),
PUBLIC_TYPE(libxl_event_hooks),
PUBLIC_TYPE(libxl_osevent_hooks),
PUBLIC_TYPE(libxl_childproc_hooks),
PUBLIC_TYPE(libxl_bitmap),
PUBLIC_TYPE(libxl_defbool),
PUBLIC_TYPE(libxl_uuid),
PUBLIC_TYPE(libxl_ev_link),
#undef PUBLIC_TYPE
#define PUBLIC_CONSTANT(c) { #c, (long)(c), 0 }
PUBLIC_CONSTANT(LIBXL_VERSION),
PUBLIC_CONSTANT(LIBXL_SUSPEND_DEBUG),
PUBLIC_CONSTANT(LIBXL_SUSPEND_LIVE),
PUBLIC_CONSTANT(INVALID_DOMID),
PUBLIC_CONSTANT(RANDOM_DOMID),
PUBLIC_CONSTANT(LIBXL_MEMKB_DEFAULT),
PUBLIC_CONSTANT(LIBXL_MAX_GRANT_DEFAULT),
PUBLIC_CONSTANT(LIBXL_TIMER_MODE_DEFAULT),
PUBLIC_CONSTANT(LIBXL_RDM_MEM_BOUNDARY_MEMKB_DEFAULT),
PUBLIC_CONSTANT(LIBXL_MS_VM_GENID_LEN),
PUBLIC_CONSTANT(LIBXL_UUID_FMTLEN),
PUBLIC_CONSTANT(LIBXL_MAC_FMTLEN),
PUBLIC_CONSTANT(LIBXL_CPUTOPOLOGY_INVALID_ENTRY),
PUBLIC_CONSTANT(LIBXL_NUMAINFO_INVALID_ENTRY),
PUBLIC_CONSTANT(LIBXL_CPUPOOL_POOLID_ANY),
PUBLIC_CONSTANT(libxl_sigchld_owner_libxl_always_selective_reap),
#undef PUBLIC_CONSTANT

/* SPDX-License-Identifier: MIT */
/*
 * Writing libxl's types with yajl: one TYPE_gen_json per type of libxl.h, for programs that embed
 * them in JSON of their own. TYPE_to_json() in libxl.h gives the same as a string.
 */
#ifndef LIBXL_JSON_H
#define LIBXL_JSON_H

#include <libxl.h>
#include <yajl/yajl_gen.h>
#include <yajl/yajl_parse.h>

yajl_gen_status libxl__uint64_gen_json(yajl_gen hand, uint64_t val);
yajl_gen_status libxl_defbool_gen_json(yajl_gen hand, libxl_defbool *p);
yajl_gen_status libxl_uuid_gen_json(yajl_gen hand, libxl_uuid *p);
yajl_gen_status libxl_mac_gen_json(yajl_gen hand, libxl_mac *p);
yajl_gen_status libxl_bitmap_gen_json(yajl_gen hand, libxl_bitmap *p);
yajl_gen_status libxl_cpuid_policy_list_gen_json(yajl_gen hand, libxl_cpuid_policy_list *p);
yajl_gen_status libxl_string_list_gen_json(yajl_gen hand, libxl_string_list *p);
yajl_gen_status libxl_key_value_list_gen_json(yajl_gen hand, libxl_key_value_list *p);
yajl_gen_status libxl_hwcap_gen_json(yajl_gen hand, libxl_hwcap *p);
yajl_gen_status libxl_ms_vm_genid_gen_json(yajl_gen hand, libxl_ms_vm_genid *p);

#include <_libxl_types_json.h>

#define HAVE_YAJL_V2 1
typedef size_t libxl_yajl_length;

/* A generator set up for indented output, as xl prints. NULL for lack of memory. */
static inline yajl_gen libxl_yajl_gen_alloc(const yajl_alloc_funcs *funcs)
{
    yajl_gen g = yajl_gen_alloc(funcs);

    if (g)
        yajl_gen_config(g, yajl_gen_beautify, 1);
    return g;
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Framing of the HVM context stream.
 */

#ifndef __XEN_PUBLIC_HVM_SAVE_H__
#define __XEN_PUBLIC_HVM_SAVE_H__

/*
 * Precedes every record. typecode: HVM_SAVE_CODE(x); instance: the vCPU or unit; length: the
 * record's bytes without this.
 */
struct hvm_save_descriptor {
    uint16_t typecode;
    uint16_t instance;
    uint32_t length;
};

/*
 * Binds a record's C type to its number. The carrier structure is never instantiated: its member
 * t has the record's type, and the size of c is the number.
 */
#define DECLARE_HVM_SAVE_TYPE_COMPAT(_x, _code, _type, _ctype, _fix) \
    struct __HVM_SAVE_TYPE_##_x { \
        _type t; \
        char c[_code]; \
        char cpt[2]; \
    }
#define DECLARE_HVM_SAVE_TYPE(_x, _code, _type) \
    struct __HVM_SAVE_TYPE_##_x { \
        _type t; \
        char c[_code]; \
        char cpt[1]; \
    }

#define HVM_SAVE_TYPE(_x) __typeof__(((struct __HVM_SAVE_TYPE_##_x *)(0))->t)
#define HVM_SAVE_LENGTH(_x) (sizeof(HVM_SAVE_TYPE(_x)))
#define HVM_SAVE_CODE(_x) (sizeof(((struct __HVM_SAVE_TYPE_##_x *)(0))->c))

/* Ends a stream. */
struct hvm_save_end {
};
DECLARE_HVM_SAVE_TYPE(END, 0, struct hvm_save_end);

#include "../arch-x86/hvm/save.h"

#endif /* __XEN_PUBLIC_HVM_SAVE_H__ */

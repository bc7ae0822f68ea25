#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turns types.idl into C.

usage: gen.py types.idl WHAT > FILE      WHAT: types | json | table | layout

  types   _libxl_types.h: the public types and their functions
  json    _libxl_types_json.h: the yajl writers
  table   the descriptor tables (libxl/types.h explains them) and the public functions
  layout  X-macro lists of every type, field and constant, for the tests
"""
import re
import sys

SCALARS = {
    "bool": ("bool", "BOOL"),
    "int": ("int", "INT"),
    "uint8": ("uint8_t", "UINT"),
    "uint16": ("uint16_t", "UINT"),
    "uint32": ("uint32_t", "UINT"),
    "uint64": ("uint64_t", "UINT"),
    "domid": ("libxl_domid", "UINT"),
    "devid": ("libxl_devid", "INT"),
    "string": ("char *", "STRING"),
    "conststring": ("const char *", "CONST_STRING"),
}
# Types with a representation and functions of their own, in libxl/builtins.c.
OPAQUE = ["uuid", "mac", "bitmap", "defbool", "string_list", "key_value_list", "hwcap",
          "cpuid_policy_list", "ms_vm_genid"]
PRIVATE = {"ev_link": "libxl_ev_link"}  # links of lists: neither copied nor shown
TYPE_INIT = {"devid": "-1"}


class Enum:
    def __init__(self, name, init):
        self.name, self.init, self.values = name, init, []

    @property
    def prefix(self):
        return "ERROR_" if self.name == "error" else "LIBXL_%s_" % self.name.upper()


class Field:
    def __init__(self, role, name, type_, init=None, count=None, key=None, deprecated=None):
        self.role, self.name, self.type, self.init = role, name, type_, init
        self.count, self.key, self.deprecated = count, key, deprecated


class Struct:
    def __init__(self, name, flags=()):
        self.name, self.flags, self.fields = name, flags, []


def fail(lineno, msg):
    sys.exit("types.idl:%d: %s" % (lineno, msg))


FIELD = re.compile(r"(\w+)(\[\])?\s+(\w+)(?:\s*=\s*(\S+))?(?:\s+count (\w+))?"
                   r"(?:\s+deprecated-by (\w+))?$")


def parse(path):
    """Returns the types in order. Indentation (4 spaces) nests."""
    types, stack = [], []
    for lineno, raw in enumerate(open(path), 1):
        line = raw.split("#", 1)[0].rstrip()
        if not line:
            continue
        depth = (len(line) - len(line.lstrip())) // 4
        words = line.split()
        del stack[depth:]
        if depth == 0:
            if words[0] == "enum":
                top = Enum(words[1], words[3] if words[2:3] == ["init"] else None)
            elif words[0] == "struct":
                top = Struct(words[1], words[2:])
            else:
                fail(lineno, "expected enum or struct")
            types.append(top)
            stack.append(top)
            continue
        if len(stack) < depth:
            fail(lineno, "indented too far")
        into = stack[-1]
        if isinstance(into, Enum):
            name, number = re.match(r"\s*(\w+) = (-?\d+)$", line).groups()
            into.values.append((name, int(number)))
        elif words[0] == "struct":
            sub = Struct(words[1])
            into.fields.append(Field("plain", words[1], sub))
            stack.append(sub)
        elif words[0] == "union":
            f = Field("union", words[1], [], key=words[3])
            into.fields.append(f)
            stack.append(f)
        elif words[0] == "case":
            sub = Struct(words[1])
            into.type.append(sub)
            stack.append(sub)
        else:
            m = FIELD.match(line.strip())
            if not m:
                fail(lineno, "not a field: %s" % line.strip())
            t, arr, name, init, count, dep = m.groups()
            into.fields.append(Field("array" if arr else "plain", name, t, init,
                                     (count or "num_" + name) if arr else None, None, dep))
    return types


class Model:
    def __init__(self, types):
        self.types = types
        self.enums = {t.name: t for t in types if isinstance(t, Enum)}
        self.structs = {t.name: t for t in types if isinstance(t, Struct)}

    def ctype(self, name):
        if name in SCALARS:
            return SCALARS[name][0]
        return PRIVATE.get(name, "libxl_" + name)

    def keyed(self, struct):
        return [f for f in struct.fields if f.role == "union"]

    def key_enum(self, struct, union):
        for f in struct.fields:
            if f.name == union.key:
                return self.enums[f.type]
        sys.exit("%s: no key %s" % (struct.name, union.key))


# ---- types: the public header

def emit_fields(m, fields, indent, out):
    pad = "    " * indent
    for f in fields:
        if f.role == "union":
            out.append(pad + "union {")
            for case in f.type:
                if case.fields:
                    out.append(pad + "    struct {")
                    emit_fields(m, case.fields, indent + 2, out)
                    out.append(pad + "    } %s;" % case.name)
            out.append(pad + "} %s;" % f.name)
        elif isinstance(f.type, Struct):
            out.append(pad + "struct {")
            emit_fields(m, f.type.fields, indent + 1, out)
            out.append(pad + "} %s;" % f.name)
        elif f.role == "array":
            out.append(pad + "int %s;" % f.count)
            out.append(pad + "%s *%s;" % (m.ctype(f.type), f.name))
        else:
            c = m.ctype(f.type)
            out.append(pad + (c + f.name if c.endswith("*") else c + " " + f.name) + ";")


BANNER = "/* SPDX-License-Identifier: MIT */\n/* Generated by libxl/idl/gen.py from types.idl. */\n"


def gen_types(m):
    out = [BANNER + "#ifndef LIBXL_TYPES_GENERATED_H\n#define LIBXL_TYPES_GENERATED_H\n"]
    for t in m.types:
        c = "libxl_" + t.name
        if isinstance(t, Enum):
            out.append("typedef enum %s {" % c)
            out += ["    %s%s = %d," % (t.prefix, n, v) for n, v in t.values]
            out.append("} %s;" % c)
            out.append("char *%s_to_json(libxl_ctx *ctx, %s p);" % (c, c))
            out.append("int %s_from_json(libxl_ctx *ctx, %s *p, const char *s);" % (c, c))
            out.append("const char *%s_to_string(%s p);" % (c, c))
            out.append("int %s_from_string(const char *s, %s *e);" % (c, c))
            out.append("extern libxl_enum_string_table %s_string_table[];\n" % c)
            continue
        out.append("typedef struct %s {" % c)
        emit_fields(m, t.fields, 1, out)
        out.append("} %s;" % c)
        if "nodispose" not in t.flags:
            out.append("void %s_dispose(%s *p);" % (c, c))
        out.append("void %s_copy(libxl_ctx *ctx, %s *dst, const %s *src);" % (c, c, c))
        out.append("void %s_init(%s *p);" % (c, c))
        for u in m.keyed(t):
            out.append("void %s_init_%s(%s *p, libxl_%s %s);"
                       % (c, u.key, c, m.key_enum(t, u).name, u.key))
        out.append("char *%s_to_json(libxl_ctx *ctx, %s *p);" % (c, c))
        out.append("int %s_from_json(libxl_ctx *ctx, %s *p, const char *s);" % (c, c))
        if deprecated_fields(t):
            out.append("int libxl__%s_copy_deprecated(libxl_ctx *ctx, %s *p);" % (t.name, c))
        out.append("")
    out.append("#endif")
    return out


def gen_json(m):
    out = [BANNER + "#ifndef LIBXL_TYPES_JSON_GENERATED_H\n#define LIBXL_TYPES_JSON_GENERATED_H\n"]
    for t in m.types:
        out.append("yajl_gen_status libxl_%s_gen_json(yajl_gen hand, libxl_%s *p);"
                   % (t.name, t.name))
    return out + ["\n#endif"]


# ---- table: descriptors and the public functions

def deprecated_fields(struct):
    """[(case, field)] of a struct's unions whose fields have a newer place outside."""
    return [(u, case, f) for u in struct.fields if u.role == "union"
            for case in u.type for f in case.fields if f.deprecated]


def init_value(m, f):
    if f.init:
        return f.init
    if f.type in m.enums:
        e = m.enums[f.type]
        return e.prefix + e.init if e.init else "0"
    return TYPE_INIT.get(f.type, "0")


def type_ref(m, name):
    return "&lx_type_" + name


def gen_fields(m, struct, c, path, base, ident, out):
    """Emits descriptors of nested types first, then ident_fields[]. path leads from the C type c to
    this struct's members; offsets count from base (a C expression)."""
    keys = {f.key for f in struct.fields if f.role == "union"}
    rows = []
    for f in struct.fields:
        member = path + f.name
        off = "offsetof(%s, %s) - (%s)" % (c, member, base) if base else "offsetof(%s, %s)" % (c, member)
        if f.role == "union":
            cases = []
            e = m.key_enum(struct, f)
            named = {k.name: k for k in f.type}
            for value, _ in e.values:
                case = named.get(value.lower())
                ref = "NULL"
                if case and case.fields:
                    sub = "%s_%s_%s" % (ident, f.name, case.name)
                    gen_fields(m, case, c, member + "." + case.name + ".",
                               "offsetof(%s, %s)" % (c, member), sub, out)
                    emit_type(sub, case.name, "sizeof(((%s *)0)->%s.%s)" % (c, member, case.name), out)
                    ref = "&lx_type_" + sub
                cases.append('    { "%s.%s", %s%s, %s },'
                             % (f.key, value.lower(), e.prefix, value, ref))
            out.append("static const struct lx_case %s_%s_cases[] = {" % (ident, f.name))
            out += cases + ["};"]
            keyoff = off.replace(member + ")", path + f.key + ")", 1)
            rows.append('    { .name = "%s", .role = LX_UNION, .offset = %s, .aux = %s,\n'
                        "      .size = sizeof(((%s *)0)->%s),\n"
                        "      .cases = %s_%s_cases, .n_cases = %d },"
                        % (f.name, off, keyoff, c, member, ident, f.name, len(cases)))
            continue
        if isinstance(f.type, Struct):
            sub = ident + "_" + f.name
            gen_fields(m, f.type, c, member + ".", "offsetof(%s, %s)" % (c, member), sub, out)
            emit_type(sub, f.name, "sizeof(((%s *)0)->%s)" % (c, member), out)
            rows.append('    { .name = "%s", .type = &lx_type_%s, .offset = %s },'
                        % (f.name, sub, off))
            continue
        if f.type in PRIVATE:
            continue
        if f.role == "array":
            aux = off.replace(member + ")", path + f.count + ")", 1)
            rows.append('    { .name = "%s", .role = LX_ARRAY, .type = %s, .offset = %s,\n'
                        "      .aux = %s }," % (f.name, type_ref(m, f.type), off, aux))
            continue
        init = init_value(m, f)
        extra = ", .init = (int64_t)(%s)" % init if init != "0" else ""
        if f.deprecated:
            extra += ", .deprecated = true"
        role = ".role = LX_KEY, " if f.name in keys else ""
        rows.append('    { .name = "%s", %s.type = %s, .offset = %s%s },'
                    % (f.name, role, type_ref(m, f.type), off, extra))
    out.append("static const struct lx_field %s_fields[] = {" % ident)
    out += rows + ["};"]


def emit_type(ident, name, size, out, linkage="static "):
    out.append("%sconst struct lx_type lx_type_%s = {" % (linkage, ident))
    out.append('    .name = "%s", .kind = LX_STRUCT, .size = %s,' % (name, size))
    out.append("    .fields = %s_fields, .n_fields = sizeof(%s_fields) / sizeof(%s_fields[0]),"
               % (ident, ident, ident))
    out.append("};")


def gen_table(m):
    out = [BANNER + '#include "libxl/types.h"\n']
    out += ["extern const struct lx_type lx_type_%s;" % t.name for t in m.types]
    for name, (c, kind) in SCALARS.items():
        out.append("const struct lx_type lx_type_%s = { .name = \"%s\", .kind = LX_%s, "
                   ".size = sizeof(%s) };" % (name, name, kind, c.strip()))
    for t in m.types:
        c = "libxl_" + t.name
        if isinstance(t, Enum):
            out.append("\nlibxl_enum_string_table %s_string_table[] = {" % c)
            out += ['    { .s = "%s", .v = %s%s },' % (n.lower(), t.prefix, n) for n, _ in t.values]
            out.append("    { .s = NULL, .v = -1 },\n};")
            out.append("const struct lx_type lx_type_%s = {" % t.name)
            out.append('    .name = "%s", .kind = LX_ENUM, .size = sizeof(%s), .names = %s_string_table,'
                       % (t.name, c, c))
            out.append("};\nLX_ENUM_FUNCTIONS(%s)" % t.name)
            continue
        out.append("")
        gen_fields(m, t, c, "", "", t.name, out)
        emit_type(t.name, t.name, "sizeof(%s)" % c, out, "")
        out.append("LX_STRUCT_FUNCTIONS(%s)" % t.name)
        if "nodispose" not in t.flags:
            out.append("LX_DISPOSE_FUNCTION(%s)" % t.name)
        for u in m.keyed(t):
            out.append("LX_INIT_KEY_FUNCTION(%s, %s, libxl_%s)"
                       % (t.name, u.key, m.key_enum(t, u).name))
        if deprecated_fields(t):
            out.append("LX_COPY_DEPRECATED_FUNCTION(%s)" % t.name)
    return out


# ---- layout: for the tests

def walk(fields, prefix, out, c):
    for f in fields:
        if f.role == "union":
            for case in f.type:
                walk(case.fields, "%s%s.%s." % (prefix, f.name, case.name), out, c)
        elif isinstance(f.type, Struct):
            walk(f.type.fields, prefix + f.name + ".", out, c)
        else:
            if f.role == "array":
                out.append("FIELD(%s, %s)" % (c, prefix + f.count))
            out.append("FIELD(%s, %s)" % (c, prefix + f.name))


def gen_layout(m):
    out = [BANNER.rstrip()]
    for group, what in (("ENUM_TYPE", Enum), ("STRUCT_TYPE", Struct)):
        out.append("#ifdef " + group)
        out += ["%s(%s)" % (group, t.name) for t in m.types if isinstance(t, what)]
        out.append("#endif")
    out.append("#ifdef CONSTANT")
    for e in m.enums.values():
        out += ["CONSTANT(%s%s)" % (e.prefix, n) for n, _ in e.values]
    out.append("#endif\n#ifdef FIELD")
    for s in m.structs.values():
        walk(s.fields, "", out, "libxl_" + s.name)
    out.append("#endif")
    return out


def main():
    m = Model(parse(sys.argv[1]))
    what = {"types": gen_types, "json": gen_json, "table": gen_table, "layout": gen_layout}
    print("\n".join(what[sys.argv[2]](m)))


if __name__ == "__main__":
    main()

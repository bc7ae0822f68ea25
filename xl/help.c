/* SPDX-License-Identifier: MIT */
/*
 * `xl help`, and the two other faces of the command table: the bash completion and the manual's
 * command list, both made at build time by running this.
 */
#include "xl/xl.h"

#include <ctype.h>
#include <getopt.h>
#include <string.h>

static void print_overview(FILE *f)
{
    fputs("usage: xl [-v] [-f] [-N] [-t] [-T] COMMAND [ARGUMENTS]\n\n", f);
    for (unsigned i = 0; i < xl_nr_cmds; i++) {
        if (!(xl_cmds[i].flags & XL_HIDDEN)) {
            fprintf(f, "  %-16s %s\n", xl_cmds[i].name, xl_cmds[i].summary);
        }
    }
    fputs("\n  -v  say more (repeat for more)      -f  force\n"
          "  -N  dry run (create)                -t  progress on one line\n"
          "  -T  time stamps and process id in messages\n\n"
          "`xl help COMMAND` or `xl COMMAND -h` says more. A domain is named by name, domid or UUID.\n", f);
}

static void print_bash_completion(FILE *f)
{
    fputs("# Completion for xl; made from its command table by `xl help --bash-completion`.\n"
          "_xl() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} cmd= i opts= kind=\n"
          "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "        case ${COMP_WORDS[i]} in -*) ;; *) cmd=${COMP_WORDS[i]}; break ;; esac\n"
          "    done\n"
          "    case $cmd in\n"
          "    '') opts='", f);
    for (unsigned i = 0; i < xl_nr_cmds; i++) {
        if (!(xl_cmds[i].flags & XL_HIDDEN)) {
            fprintf(f, "%s%s", i ? " " : "", xl_cmds[i].name);
        }
    }
    fputs("' ;;\n", f);
    for (unsigned i = 0; i < xl_nr_cmds; i++) {
        const struct xl_cmd *c = &xl_cmds[i];

        if (c->flags & XL_HIDDEN) {
            continue;
        }
        fprintf(f, "    %s) kind=%s opts='-h --help", c->name,
                c->flags & XL_DOMAIN_ARG ? "domain" : c->flags & XL_FILE_ARG ? "file" : "''");
        for (const struct xl_opt *o = c->opts; o->c || o->name; o++) {
            if (o->c) {
                fprintf(f, " -%c", o->c);
            }
            if (o->name) {
                fprintf(f, " --%s", o->name);
            }
        }
        fputs("' ;;\n", f);
    }
    fputs("    esac\n"
          "    if [[ $cur == -* || -z $cmd ]]; then\n"
          "        COMPREPLY=($(compgen -W \"$opts\" -- \"$cur\"))\n"
          "    elif [[ $kind == domain ]]; then\n"
          "        COMPREPLY=($(compgen -W \"$(xl list 2>/dev/null | awk 'NR > 1 {print $1}')\" -- \"$cur\"))\n"
          "    elif [[ $kind == file ]]; then\n"
          "        COMPREPLY=($(compgen -f -- \"$cur\"))\n"
          "    fi\n"
          "}\n"
          "complete -F _xl xl\n", f);
}

void xl_mdoc_text(FILE *f, const char *s)
{
    if (*s == '.' || *s == '\'') {
        fputs("\\&", f);
    }
    for (; *s; s++) {
        if (*s == '\\') {
            fputs("\\e", f);
        } else if (s[0] == '.' && s[1] == ' ') {
            fputs(".\n", f);
            s++;
        } else {
            fputc(*s, f);
        }
    }
}

static void print_man(FILE *f)
{
    for (unsigned i = 0; i < xl_nr_cmds; i++) {
        const struct xl_cmd *c = &xl_cmds[i];

        if (c->flags & XL_HIDDEN) {
            continue;
        }
        fprintf(f, ".It Cm %s", c->name);
        if (*c->args) {
            fputs(" Ar ", f);
            xl_mdoc_text(f, c->args);
        }
        fputc('\n', f);
        fputc(toupper((unsigned char)c->summary[0]), f);
        xl_mdoc_text(f, c->summary + 1);
        fputs(".\n", f);
        if (c->opts[0].c || c->opts[0].name) {
            fputs(".Bl -tag -width Ds -compact\n", f);
        }
        for (const struct xl_opt *o = c->opts; o->c || o->name; o++) {
            fputs(".It", f);
            if (o->c) {
                fprintf(f, " Fl %c", o->c);
            }
            if (o->name) {
                fprintf(f, "%s Fl Fl %s", o->c ? " ," : "", o->name);
            }
            if (o->arg) {
                fputs(" Ar ", f);
                xl_mdoc_text(f, o->arg);
            }
            fputc('\n', f);
            xl_mdoc_text(f, o->help);
            fputs(".\n", f);
        }
        if (c->opts[0].c || c->opts[0].name) {
            fputs(".El\n", f);
        }
    }
}

int main_help(struct xl *xl, int argc, char **argv)
{
    const struct xl_cmd *cmd;
    int c;

    while (xl->cmd && (c = xl_getopt(xl, argc, argv)) != -1) {
        switch (c - 256) {
        case 0: print_bash_completion(stdout); return 0;
        case 1: print_man(stdout); return 0;
        case 2: xl_config_document(stdout); return 0;
        case 3: xl_conf_document(stdout); return 0;
        }
    }
    if (!xl->cmd || optind >= argc) {
        print_overview(stdout);
        return 0;
    }
    cmd = xl_find_cmd(argv[optind], true);
    if (!cmd) {
        return 1;
    }
    xl_print_usage(stdout, cmd);
    return 0;
}

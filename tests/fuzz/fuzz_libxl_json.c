/* SPDX-License-Identifier: MIT */
/*
 * Configurations as JSON come from files and from the other end of a migration. Whatever is read
 * must be writable again, and read back as the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libxl/ctx.h"

#include <libxl_utils.h>

static libxl_ctx ctx;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    libxl_domain_config first, second, copy;
    char *text = malloc(size + 1), *again, *third, *fourth;

    memcpy(text, data, size);
    text[size] = 0;
    libxl_domain_config_init(&first);
    if (!libxl_domain_config_from_json(&ctx, &first, text)) {
        again = libxl_domain_config_to_json(&ctx, &first);
        if (again) { /* text that is not UTF-8 cannot be written */
            libxl_domain_config_init(&second);
            if (libxl_domain_config_from_json(&ctx, &second, again))
                abort();
            third = libxl_domain_config_to_json(&ctx, &second);
            libxl_domain_config_copy(&ctx, &copy, &second);
            fourth = libxl_domain_config_to_json(&ctx, &copy);
            if (strcmp(again, third) || strcmp(again, fourth))
                abort();
            libxl_domain_config_dispose(&second);
            libxl_domain_config_dispose(&copy);
            free(third);
            free(fourth);
        }
        free(again);
    }
    libxl_domain_config_dispose(&first);
    free(text);
    return 0;
}

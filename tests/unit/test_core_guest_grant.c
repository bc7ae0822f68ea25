/* SPDX-License-Identifier: MIT */
#include "tests/unit/core_harness.h"

int main(void) { return 0; }

// SPDX-License-Identifier: MIT OR Apache-2.0
// trace LINKER PROGRAM: lets a dynamic linker report what a program lacks, as `ldd -d` does, in a root whose shell may be
// damaged. Linked statically, since the variable applies to each dynamically linked program.
#include <stdlib.h>
#include <unistd.h>

int main(int count, char **arguments)
{
    setenv("LD_TRACE_LOADED_OBJECTS", "1", 1);
    setenv("LD_WARN", "yes", 1);
    if (count < 3)
        return 2;
    execv(arguments[1], arguments + 1);
    return 127;
}

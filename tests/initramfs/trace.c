// SPDX-License-Identifier: MIT OR Apache-2.0
// trace LINKER PROGRAM: lets a dynamic linker report what a program lacks, as `ldd -d` does, but without a shell, which
// may be damaged. It sets LD_TRACE_LOADED_OBJECTS itself, since that variable would affect each dynamically linked
// program that starts before the linker. It is linked statically, so that damaged libraries do not affect it.
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

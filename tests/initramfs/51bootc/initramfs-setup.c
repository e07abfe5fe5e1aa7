/* Stands in the place of bootc's program that sets the root up: it leaves the root as it is. */
int main(void)
{
    return 0;
}

/* A stand-in for bootc's program that sets up the root. It does nothing. */
int main(void)
{
    return 0;
}

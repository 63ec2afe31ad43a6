/* A stand-in that has the driver library's name and nothing behind it: what a vendor's shadow library or
 * a leftover looks like to the CUDA runtime. 100 is CUDA_ERROR_NO_DEVICE. */
int cuInit(unsigned flags);
int cuInit(unsigned flags) {
  (void)flags;
  return 100;
}

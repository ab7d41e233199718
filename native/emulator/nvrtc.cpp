// A stand-in for NVRTC that is there to be found: it tells its version and compiles nothing.

extern "C" __attribute__((visibility("default"))) int nvrtcVersion(int *major, int *minor) {
  if (major == nullptr || minor == nullptr) return 3;
  *major = 13;
  *minor = 2;
  return 0;
}

// One mistake with cuDNN on its stand-in: `planted_cudnn NAME right|wrong`. A convolution of 1 x 2 x 4 x 4 by a filter of
// 3 x 2 x 3 x 3, all ones. Ends with 0 where all of it went well, with 3 where the result is wrong, with 4 where a call was
// refused, with 5 where a mistake was made and nobody said so.
#include <string>

#include "planted_cudnn.h"

struct Candidate {
  int algorithm, status;
  float milliseconds;
  size_t memory;
  int determinism, math, reserved[3];
};
extern "C" {
int cudnnCreateTensorDescriptor(void**);
int cudnnSetTensorNdDescriptor(void*, int, int, const int*, const int*);
int cudnnDestroyTensorDescriptor(void*);
int cudnnCreateFilterDescriptor(void**);
int cudnnSetFilterNdDescriptor(void*, int, int, int, const int*);
int cudnnCreateConvolutionDescriptor(void**);
int cudnnSetConvolutionNdDescriptor(void*, int, const int*, const int*, const int*, int, int);
int cudnnSetConvolutionGroupCount(void*, int);
int cudnnSetConvolutionMathType(void*, int);
int cudnnGetConvolutionForwardAlgorithm_v7(void*, void*, void*, void*, void*, int, int*, Candidate*);
int cudnnConvolutionForward(void*, const void*, void*, Address, void*, Address, void*, int, Address, size_t, const void*, void*, Address);
}

int main(int count, char** words) {
  if (count != 3) return 2;
  bool right = !strcmp(words[2], "right"), made = false;
  auto is = [&](const char* mistake) {
    bool here = !right && !strcmp(words[1], mistake);
    made = made || here;
    return here;
  };
  void *context, *stream, *handle, *x, *w, *y, *how;
  CHECK(cuInit, 0);
  CHECK(cuDevicePrimaryCtxRetain, &context, 0);
  if (!is("no_context")) CHECK(cuCtxSetCurrent, context);
  CHECK(cudnnCreate, &handle);
  CHECK(cuStreamCreate, &stream, 1);
  if (!is("no_stream")) CHECK(cudnnSetStream, handle, stream);

  int sizes[] = {1, 2, 4, 4}, strides[] = {32, 16, 4, 1}, filter[] = {3, 2, 3, 3}, out[] = {1, 3, 2, 2}, out_strides[] = {12, 4, 2, 1};
  int zeros[] = {0, 0}, ones[] = {1, 1}, steps[] = {1, is("stride_of_none") ? 0 : 1};
  if (is("empty_dim")) sizes[3] = 0;
  if (is("stride_of_zero")) strides[1] = 0;
  if (is("shared_places")) out_strides[1] = 3;
  if (is("wrong_output")) out[3] = 3, out_strides[1] = 6, out_strides[2] = 3, out_strides[0] = 18;
  if (is("wrong_channels")) filter[1] = 1;
  CHECK(cudnnCreateTensorDescriptor, &x);
  CHECK(cudnnCreateTensorDescriptor, &y);
  CHECK(cudnnCreateFilterDescriptor, &w);
  CHECK(cudnnCreateConvolutionDescriptor, &how);
  if (!is("never_set")) CHECK(cudnnSetTensorNdDescriptor, x, 0, is("three_dims") ? 3 : 4, sizes, strides);
  CHECK(cudnnSetTensorNdDescriptor, y, is("wrong_type") ? 2 : 0, 4, out, out_strides);
  CHECK(cudnnSetFilterNdDescriptor, w, 0, is("wrong_format") ? 1 : 0, 4, filter);
  CHECK(cudnnSetConvolutionNdDescriptor, how, 2, zeros, steps, ones, 1, is("sums_in_half") ? 2 : 0);
  CHECK(cudnnSetConvolutionGroupCount, how, is("wrong_groups") ? 2 : 1);
  CHECK(cudnnSetConvolutionMathType, how, is("unknown_math") ? 9 : 3);

  Address px, pw, py, workspace;
  float data[64], back[12];
  for (float& v : data) v = 1;
  CHECK(cuMemAlloc_v2, &px, sizeof data);
  CHECK(cuMemAlloc_v2, &pw, 54 * sizeof(float));
  CHECK(cuMemAlloc_v2, &py, sizeof back);
  CHECK(cuMemcpyHtoDAsync_v2, px, data, sizeof data, stream);
  CHECK(cuMemcpyHtoDAsync_v2, pw, data, 54 * sizeof(float), stream);
  if (is("destroyed_description")) CHECK(cudnnDestroyTensorDescriptor, y);
  if (is("destroyed_twice")) CHECK(cudnnDestroyTensorDescriptor, y), CHECK(cudnnDestroyTensorDescriptor, y);
  if (is("destroyed_handle")) CHECK(cudnnDestroy, handle);
  Candidate found[8], best{};
  int n = 0;
  CHECK(cudnnGetConvolutionForwardAlgorithm_v7, handle, x, is("operands_in_disorder") ? y : w, how, is("operands_in_disorder") ? w : y, 8, &n, found);
  for (int i = n - 1; i >= 0; i--) {
    if (found[i].status == 0 && found[i].determinism == 1 && found[i].memory < 1 << 20) best = found[i];
  }
  CHECK(cuMemAlloc_v2, &workspace, best.memory);
  size_t bytes = is("small_workspace") ? best.memory - 1 : is("workspace_beyond_its_memory") ? best.memory + 1 : best.memory;
  if (is("operand_too_short")) px += 128 + 16;
  if (is("off_its_place")) px += 4;
  if (is("memory_of_the_process")) px = (Address)data;
  float one = 1, zero = is("result_unwritten_before") ? 1 : 0;
  CHECK(cudnnConvolutionForward, handle, &one, x, px, w, pw, how, is("algorithm_that_refuses") ? found[0].algorithm : best.algorithm,
        is("no_workspace") ? 0 : workspace, bytes, &zero, y, py);
  CHECK(cuMemcpyDtoHAsync_v2, back, py, sizeof back, stream);
  CHECK(cuStreamSynchronize, stream);
  for (int i = 0; i < 12; i++) {
    if (back[i] == 18) continue;
    fprintf(stderr, "wrong: y[%d] is %g\n", i, back[i]);
    return 3;
  }
  return made ? 5 : 0;
}

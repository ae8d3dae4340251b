// Searches for the two levels of scales of the K types: integer scales of sub-blocks times a
// half-precision factor.
#pragma once

#include "kernels/code_fit.h"

namespace quern {

/// How a K type scales its sub-blocks: w = d scale_code q - dmin min_code.
struct SuperBlockFormat {
  CodeFormat codes;
  size_t n_sub_blocks;  ///< of a super-block; divides kFitLanes
  float low_scale_code;
  float high_scale_code;
  float max_min_code;  ///< 0 for a type without mins
};

/// The scales found, for each sub-block; d and dmin are the same for all of a super-block.
struct SuperBlockFit {
  FitLanes d;     ///< exact in half precision
  FitLanes dmin;  ///< exact in half precision
  FitLanes scale_code;
  FitLanes min_code;
  FitLanes error;

  FitLanes Scale() const;
  FitLanes Offset() const;
};

/// Fits the kFitLanes / n_sub_blocks super-blocks of a batch.
SuperBlockFit SearchSuperBlocks(const FitBatch& batch, const SuperBlockFormat& format);

}  // namespace quern

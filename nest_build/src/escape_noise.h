/*
 *  escape_noise.h
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#ifndef ESCAPE_NOISE_H
#define ESCAPE_NOISE_H

#pragma GCC visibility push( default )
#include "Random123/philox.h"
#pragma GCC visibility pop

#include <cstdint>

namespace e2l
{

/**
 * Random numbers of one neuron, one for each simulation step.
 *
 * The number of a step is a function of (seed, trial, role, step) and of nothing else: not of the
 * other neurons of the network, the number of threads or how often numbers were drawn before. A
 * counter-based generator (Philox, Salmon et al. 2011) gives that without any state.
 */
class EscapeNoise
{
public:
  void
  calibrate( const long seed, const long trial, const long role )
  {
    key_ = { { static_cast< std::uint64_t >( seed ), static_cast< std::uint64_t >( trial ) } };
    role_ = static_cast< std::uint64_t >( role );
    block_ = no_block_;
  }

  //! Uniformly distributed number in [0, 1) of simulation step `step`.
  double
  uniform( const long step )
  {
    const std::uint64_t block = static_cast< std::uint64_t >( step ) / 4;
    if ( block != block_ )
    {
      block_ = block;
      numbers_ = Philox()( { { block, role_, 0, 0 } }, key_ );
    }
    return static_cast< double >( numbers_[ step % 4 ] >> 11 ) * 0x1.0p-53;
  }

private:
  using Philox = r123::Philox4x64;
  static constexpr std::uint64_t no_block_ = ~std::uint64_t( 0 );

  Philox::key_type key_ {};
  std::uint64_t role_ = 0;
  std::uint64_t block_ = no_block_; //!< block of four steps whose numbers are in `numbers_`
  Philox::ctr_type numbers_ {};
};

} // namespace e2l

#endif /* #ifndef ESCAPE_NOISE_H */

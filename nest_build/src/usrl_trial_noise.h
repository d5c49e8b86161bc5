/*
 *  usrl_trial_noise.h
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#ifndef USRL_TRIAL_NOISE_H
#define USRL_TRIAL_NOISE_H

#include "escape_noise.h"

#include <compare>
#include <memory>
#include <vector>

namespace e2l
{

/**
 * Below which potential the escape noise of a trial certainly causes no spike.
 *
 * Bounds hold for blocks of some steps: nearly all blocks of a trial need neither random numbers
 * nor exponentials then, and whether a neuron spikes in the others is decided step by step.
 * Neurons of the same thread with the same noise share the bounds.
 */
class TrialNoise
{
public:
  struct Key
  {
    long seed;
    long trial;
    long role;
    long n_steps; //!< steps of a trial
    double V_th;  //!< threshold in mV
    double delta; //!< width of the threshold region in mV, > 0
    double scale; //!< probability of a spike in a step at threshold

    bool operator==( const Key& ) const = default;
  };

  //! Return the bounds for `key`; they are computed anew unless they are those of the last call.
  static std::shared_ptr< const TrialNoise > shared( const Key& key );

  explicit TrialNoise( const Key& key );

  //! Potential in mV below which there is no spike in steps [begin, end).
  double
  bound( const long begin, const long end ) const
  {
    double least = bounds_[ begin / block_steps_ ];
    for ( long block = begin / block_steps_ + 1; block * block_steps_ < end; ++block )
    {
      least = bounds_[ block ] < least ? bounds_[ block ] : least;
    }
    return least;
  }

private:
  static constexpr long block_steps_ = 64;

  Key key_;
  std::vector< double > bounds_;
};

} // namespace e2l

#endif /* #ifndef USRL_TRIAL_NOISE_H */

/*
 *  usrl_trial_noise.cpp
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#include "usrl_trial_noise.h"

#include <algorithm>
#include <cmath>

std::shared_ptr< const e2l::TrialNoise >
e2l::TrialNoise::shared( const Key& key )
{
  thread_local std::shared_ptr< const TrialNoise > latest;
  if ( not latest or latest->key_ != key )
  {
    latest = std::make_shared< const TrialNoise >( key );
  }
  return latest;
}

e2l::TrialNoise::TrialNoise( const Key& key )
  : key_( key )
{
  EscapeNoise noise;
  noise.calibrate( key.seed, key.trial, key.role );
  bounds_.reserve( key.n_steps / block_steps_ + 1 );
  for ( long begin = 0; begin < key.n_steps; begin += block_steps_ )
  {
    double least = 1.0;
    for ( long step = begin; step < std::min( begin + block_steps_, key.n_steps ); ++step )
    {
      least = std::min( least, noise.uniform( step ) );
    }
    // r < scale * exp( ( u - V_th ) / delta ), solved for u. The margin covers rounding.
    const double bound = key.delta * std::log( least / key.scale );
    bounds_.push_back( key.V_th + bound - 1e-9 * ( std::abs( bound ) + std::abs( key.V_th ) ) );
  }
}

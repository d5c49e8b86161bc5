/*
 *  slice_propagator.cpp
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#include "slice_propagator.h"

#pragma GCC visibility push( default )
#include "iaf_propagator.h"
#pragma GCC visibility pop

#include <cmath>

void
e2l::SlicePropagator::calibrate( const double tau_syn,
  const double tau_m,
  const double C_m,
  const double h,
  const long n_steps )
{
  const double P11 = std::exp( -h / tau_syn );
  const double P22 = std::exp( -h / tau_m );
  const double P21 = IAFPropagatorExp( tau_syn, tau_m, C_m ).evaluate( h );
  const double P20 = -std::expm1( -h / tau_m ) * tau_m / C_m;

  leak_.resize( n_steps );
  transfer_.resize( n_steps );
  decay_.resize( n_steps );
  step_response_.resize( n_steps );

  // Powers of the propagators of one step, rounded as a simulation step by step would.
  double leak = 1.0;
  double transfer = 0.0;
  double decay = 1.0;
  double step_response = 0.0;
  for ( long k = 0; k < n_steps; ++k )
  {
    leak_[ k ] = leak = leak * P22;
    transfer_[ k ] = transfer = transfer * P22 + decay * P21;
    decay_[ k ] = decay = decay * P11;
    step_response_[ k ] = step_response = step_response * P22 + P20;
  }
}

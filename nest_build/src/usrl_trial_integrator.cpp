/*
 *  usrl_trial_integrator.cpp
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#include "usrl_trial_integrator.h"

#include "slice_propagator.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

// Wide registers where the machine has them. The results are the same: nothing is contracted or
// reordered, and sums have the same eight partial sums on all machines.
#if defined( __x86_64__ ) and defined( __linux__ ) and defined( __GNUC__ ) and not defined( __clang__ )
#define E2L_WIDE __attribute__( ( target_clones( "avx2", "default" ) ) )
#else
#define E2L_WIDE
#endif

namespace
{

typedef double Doubles __attribute__( ( vector_size( 32 ) ) );
typedef double UnalignedDoubles __attribute__( ( vector_size( 32 ), aligned( 8 ) ) );
typedef std::int64_t Integers __attribute__( ( vector_size( 32 ) ) );

constexpr long lanes = 4;
constexpr double minus_infinity = -HUGE_VAL;

//! Converts the trace to the unit of the original model.
constexpr double E_scale = 1e9;

/**
 * y = exp( x ) to a relative 3e-16 for -708 < x < 709; exp( -708 ) below, arbitrary above.
 *
 * x = k ln 2 + r; a polynomial of degree 11 (Chebyshev) for exp( r ), 2^k by its exponent bits.
 */
inline __attribute__( ( always_inline ) ) void
exponential( const Doubles& argument, Doubles& y )
{
  constexpr double ln2_high = 0x1.62e42fefa0000p-1;
  constexpr double ln2_low = 0x1.cf79abc9e3b39p-40;
  // Adding it rounds to an integer, which is then in the lowest bits.
  constexpr double rounder = 0x1.8p52;
  constexpr double least = -708.0;

  const Doubles x = argument > least ? argument : Doubles { least, least, least, least };
  const Doubles shifted = x * 0x1.71547652b82fep+0 + rounder;
  const Doubles k = shifted - rounder;
  const Doubles r = ( x - k * ln2_high ) - k * ln2_low;
  Doubles p = r * 0x1.af632a0f7e2cfp-26 + 0x1.28b4101c77212p-22;
  p = p * r + 0x1.71ddf56d8deb5p-19;
  p = p * r + 0x1.a01991a10d9aep-16;
  p = p * r + 0x1.a01a01b1461c5p-13;
  p = p * r + 0x1.6c16c1880029fp-10;
  p = p * r + 0x1.111111110f21ep-7;
  p = p * r + 0x1.555555554f0bap-5;
  p = p * r + 0x1.555555555555ap-3;
  p = p * r + 0x1.0000000000011p-1;
  p = p * r + 1.0;
  p = p * r + 1.0;
  const Integers exponent = (Integers) shifted << 52;
  y = (Doubles) ( (Integers) p + exponent );
}

struct Sums
{
  double largest;
  double to_psp;
  double to_psc;
};

/**
 * The loop over the steps: potential, expected spikes, weighted sums.
 *
 * The tables have room for a multiple of eight steps.
 */
E2L_WIDE void
sum_up( const double* const leak,
  const double* const transfer,
  const double* const weighted_leak,
  const double* const weighted_transfer,
  const double V,
  const double I,
  const double offset,
  const double threshold,
  const double inverse_width,
  const long n,
  Sums& sums )
{
  Doubles largest[ 2 ];
  Doubles to_psp[ 2 ];
  Doubles to_psc[ 2 ];
  for ( int half = 0; half < 2; ++half )
  {
    largest[ half ] = Doubles { minus_infinity, minus_infinity, minus_infinity, minus_infinity };
    to_psp[ half ] = Doubles {};
    to_psc[ half ] = Doubles {};
  }
  const auto load = []( const double* const x ) -> const UnalignedDoubles&
  { return *reinterpret_cast< const UnalignedDoubles* >( x ); };
  const auto add = [ & ]( const long j, const int half, const bool is_partial )
  {
    Doubles u = offset + ( V * load( leak + j ) + I * load( transfer + j ) );
    Doubles expected;
    exponential( ( u - threshold ) * inverse_width, expected );
    if ( is_partial )
    {
      const Integers step { j, j + 1, j + 2, j + 3 };
      u = step < n ? u : largest[ half ];
      expected = step < n ? expected : Doubles {};
    }
    largest[ half ] = u > largest[ half ] ? u : largest[ half ];
    to_psp[ half ] += load( weighted_leak + j ) * expected;
    to_psc[ half ] += load( weighted_transfer + j ) * expected;
  };

  long j = 0;
  for ( ; j + 2 * lanes <= n; j += 2 * lanes )
  {
    add( j, 0, false );
    add( j + lanes, 1, false );
  }
  if ( j < n )
  {
    add( j, 0, true );
    if ( j + lanes < n )
    {
      add( j + lanes, 1, true );
    }
  }

  const Doubles top = largest[ 0 ] > largest[ 1 ] ? largest[ 0 ] : largest[ 1 ];
  const Doubles psp = to_psp[ 0 ] + to_psp[ 1 ];
  const Doubles psc = to_psc[ 0 ] + to_psc[ 1 ];
  sums.largest = std::max( std::max( top[ 0 ], top[ 1 ] ), std::max( top[ 2 ], top[ 3 ] ) );
  sums.to_psp = ( psp[ 0 ] + psp[ 1 ] ) + ( psp[ 2 ] + psp[ 3 ] );
  sums.to_psc = ( psc[ 0 ] + psc[ 1 ] ) + ( psc[ 2 ] + psc[ 3 ] );
}

} // namespace

void
e2l::TrialIntegrator::calibrate( const Parameters& parameters )
{
  P_ = parameters;
  rate_ = P_.rho_E * P_.h;
  // Two full halves of registers are read at a time.
  static_assert( chunk_steps % ( 2 * lanes ) == 0 );

  SlicePropagator propagator;
  propagator.calibrate( P_.tau_syn, P_.tau_m, P_.C_m, P_.h, chunk_steps );
  double V = 1.0;
  double I = 0.0;
  propagator.advance( V, I, 0.0, chunk_steps, leak_.data() );
  V = 0.0;
  I = 1.0;
  propagator.advance( V, I, 0.0, chunk_steps, transfer_.data() );

  const double PE = std::exp( -P_.h / P_.tau_E );
  last_weight_ = ( 1.0 - PE ) / P_.delta_E * E_scale / PE;
  double decay = 1.0;
  double leak_sum = 0.0;
  double transfer_sum = 0.0;
  for ( long j = 0; j < chunk_steps; ++j )
  {
    weighted_leak_[ j ] = leak_[ j ] / decay;
    weighted_transfer_[ j ] = transfer_[ j ] / decay;
    leak_sum_[ j ] = leak_sum = leak_sum + weighted_leak_[ j ];
    transfer_sum_[ j ] = transfer_sum = transfer_sum + weighted_transfer_[ j ];
    trace_decay_[ j ] = decay = decay * PE;
    decay_[ j ] = propagator.current( 1.0, j + 1 );
  }
}

double
e2l::TrialIntegrator::integrate( const double V, const double I, const long n, Chunk& chunk ) const
{
  Sums sums;
  sum_up( leak_.data(),
    transfer_.data(),
    weighted_leak_.data(),
    weighted_transfer_.data(),
    V,
    I,
    P_.E_L,
    P_.V_th_E,
    1.0 / P_.delta_E,
    n,
    sums );
  chunk = { n, -rate_ * sums.to_psp, -rate_ * sums.to_psc };
  return sums.largest;
}

void
e2l::TrialIntegrator::clamp( const double u, const long n, Chunk& chunk ) const
{
  const double expected = rate_ * std::exp( ( u - P_.V_th_E ) / P_.delta_E );
  chunk = { n, -expected * leak_sum_[ n - 1 ], -expected * transfer_sum_[ n - 1 ] };
}

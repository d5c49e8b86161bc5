/*
 *  usrl_synapse.cpp
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#include "usrl_synapse.h"

#include <cmath>
#include <deque>

namespace e2l
{

using nest::kernel;
using nest::Time;
namespace names = nest::names;

namespace
{

//! Converts the trace to the unit of the original model.
constexpr double E_scale = 1e9;

} // namespace

void
register_usrl_synapse( const std::string& name )
{
  nest::register_connection_model< usrl_synapse >( name );
}

void
UsrlCommonProperties::get_status( Dictionary& d ) const
{
  CommonSynapseProperties::get_status( d );
  clock_.get( d );
  d[ "tau_M" ] = P_.tau_M_;
  d[ "tau" ] = P_.tau_;
  d[ "Tau" ] = P_.Tau_;
  d[ "C" ] = P_.C_;
  d[ "Theta" ] = P_.Theta_;
  d[ names::rho ] = P_.rho_;
  d[ names::delta ] = P_.delta_;
}

void
UsrlCommonProperties::set_status( const Dictionary& d, nest::ConnectorModel& cm )
{
  CommonSynapseProperties::set_status( d, cm );

  // Temporary copies: nothing changes if anything is wrong.
  Parameters_ p = P_;
  d.update_value( "tau_M", p.tau_M_ );
  d.update_value( "tau", p.tau_ );
  d.update_value( "Tau", p.Tau_ );
  d.update_value( "C", p.C_ );
  d.update_value( "Theta", p.Theta_ );
  d.update_value( names::rho, p.rho_ );
  d.update_value( names::delta, p.delta_ );
  // Written so that NaN fails, too.
  if ( not( p.tau_M_ > 0 and p.tau_ > 0 and p.Tau_ > 0 ) )
  {
    throw nest::BadProperty( "Time constants tau_M, tau and Tau must be > 0." );
  }
  if ( not( p.C_ > 0 ) )
  {
    throw nest::BadProperty( "Capacitance C must be > 0." );
  }
  if ( not( p.rho_ >= 0 ) )
  {
    throw nest::BadProperty( "Rate at threshold rho must be >= 0." );
  }
  if ( not( p.delta_ > 0 ) )
  {
    throw nest::BadProperty( "Width of the threshold region delta must be > 0." );
  }
  if ( not std::isfinite( p.Theta_ ) )
  {
    throw nest::BadProperty( "Threshold Theta must be finite." );
  }
  Clock clock = clock_;
  clock.set( d );

  P_ = p;
  clock_ = clock;
  V_.n_steps_ = 0;
}

void
UsrlCommonProperties::check_target( const nest::Node& target ) const
{
  if ( not dynamic_cast< const iaf_psc_exp_escape* >( &target ) )
  {
    throw nest::IllegalConnection(
      "The target of a usrl_synapse must be an iaf_psc_exp_escape, not a " + target.get_name() + "." );
  }
  clock_.check( target, "usrl_synapse" );
  if ( clock_.deliver_interval() != 1 )
  {
    throw nest::IllegalConnection( "The volume_transmitter of a usrl_synapse must have deliver_interval 1." );
  }
}

void
UsrlCommonProperties::calibrate_( const double h, const long n_steps ) const
{
  V_.h_ = h;
  V_.n_steps_ = n_steps;
  V_.propagator_.calibrate( P_.tau_, P_.Tau_, P_.C_, h, n_steps );
  V_.psp_.resize( n_steps );
  V_.surprise_.resize( n_steps );
  V_.target_ = nullptr;

  // The trace is linear in what each step adds to it.
  const double PE = std::exp( -h / P_.tau_M_ );
  V_.to_E_.resize( n_steps );
  double decay = 1.0;
  for ( long k = n_steps - 1; k >= 0; --k )
  {
    V_.to_E_[ k ] = ( 1.0 - PE ) / P_.delta_ * E_scale * decay;
    decay *= PE;
  }
  V_.decay_ = decay;
}

void
UsrlCommonProperties::compare_spikes_with_potential_( iaf_psc_exp_escape& target,
  const long begin,
  const long end ) const
{
  // Every synapse has to ask, so that the neuron knows when it can forget a spike.
  std::deque< nest::histentry >::iterator spike;
  std::deque< nest::histentry >::iterator last;
  target.get_history( Time( Time::step( begin ) ).get_ms(), Time( Time::step( end ) ).get_ms(), &spike, &last );
  if ( V_.target_ == &target and V_.slice_end_ == end )
  {
    return;
  }
  V_.target_ = &target;
  V_.slice_end_ = end;

  const double* const u = target.slice_potential();
  for ( long k = 0; k < end - begin; ++k )
  {
    V_.surprise_[ k ] = -P_.rho_ * std::exp( ( u[ k ] - P_.Theta_ ) / P_.delta_ ) * V_.h_;
  }
  for ( ; spike != last; ++spike )
  {
    // A spike of step k has the time at which the step ends.
    V_.surprise_[ std::lround( spike->t_ / V_.h_ ) - 1 - begin ] += 1.0;
  }
  for ( long k = 0; k < end - begin; ++k )
  {
    V_.surprise_[ k ] *= V_.to_E_[ k ];
  }
}

void
UsrlCommonProperties::integrate_slice( UsrlState& state, iaf_psc_exp_escape& target ) const
{
  const long n_steps = kernel().connection_manager.get_min_delay();
  const long begin = kernel().simulation_manager.get_slice_origin().get_steps();
  const long end = begin + n_steps;
  if ( target.updated_until() != end or ( state.integrated_until_ >= 0 and state.integrated_until_ != begin ) )
  {
    throw nest::KernelException(
      "usrl_synapse has to be integrated in every slice, after its target was updated. Its target must not be "
      "frozen, and its volume_transmitter must be newer than its target and keep deliver_interval 1." );
  }
  state.integrated_until_ = end;

  const double h = Time::get_resolution().get_ms();
  if ( V_.n_steps_ != n_steps or V_.h_ != h )
  {
    calibrate_( h, n_steps );
  }
  compare_spikes_with_potential_( target, begin, end );

  // Spikes that arrive in a step change the current at the end of that step.
  state.arrivals_.take( end, V_.arriving_ );
  long lag = 0;
  for ( const Arrival& arrival : V_.arriving_ )
  {
    const long next = arrival.step - begin + 1;
    V_.propagator_.advance( state.psp_, state.psc_, 0.0, next - lag, V_.psp_.data() + lag );
    state.psc_ += arrival.amount;
    lag = next;
  }
  V_.propagator_.advance( state.psp_, state.psc_, 0.0, n_steps - lag, V_.psp_.data() + lag );

  double added = 0.0;
  for ( long k = 0; k < n_steps; ++k )
  {
    added += V_.surprise_[ k ] * V_.psp_[ k ];
  }
  state.E_ = state.E_ * V_.decay_ + added;
}

} // namespace e2l

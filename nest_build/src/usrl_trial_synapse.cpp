/*
 *  usrl_trial_synapse.cpp
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#include "usrl_trial_synapse.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace
{

using ScalarRule = double ( * )( double R, double E );

//! The rule "0.0", which models have before a rule is set.
double
zero( const double, const double )
{
  return 0.0;
}

void
zeros( const std::int64_t n, const double*, const double*, double* const delta_w )
{
  std::fill_n( delta_w, n, 0.0 );
}

} // namespace

namespace e2l
{

using nest::kernel;
namespace names = nest::names;

void
register_usrl_trial_synapse( const std::string& name )
{
  RuleRegistry::instance().add( "0.0", { reinterpret_cast< void* >( zero ), reinterpret_cast< void* >( zeros ) } );
  nest::register_connection_model< usrl_trial_synapse >( name );
}

UsrlTrialCommonProperties::UsrlTrialCommonProperties()
  : rule_( RuleRegistry::instance().resolve( expr_ ) )
{
}

void
UsrlTrialCommonProperties::get_status( Dictionary& d ) const
{
  CommonSynapseProperties::get_status( d );
  clock_.get( d );
  d[ "expr" ] = expr_;
  d[ names::eta ] = eta_;
}

void
UsrlTrialCommonProperties::set_status( const Dictionary& d, nest::ConnectorModel& cm )
{
  CommonSynapseProperties::set_status( d, cm );

  // Temporary copies: nothing changes if anything is wrong.
  double eta = eta_;
  d.update_value( names::eta, eta );
  Clock clock = clock_;
  clock.set( d );
  std::string expr = expr_;
  RulePtr rule = rule_;
  if ( d.update_value( "expr", expr ) )
  {
    rule = RuleRegistry::instance().resolve( expr );
  }

  expr_ = expr;
  eta_ = eta;
  clock_ = clock;
  rule_ = rule;
}

void
UsrlTrialCommonProperties::check_target( const nest::Node& target ) const
{
  if ( not dynamic_cast< const usrl_trial_neuron* >( &target ) )
  {
    throw nest::IllegalConnection(
      "The target of a usrl_trial_synapse must be a usrl_trial_neuron, not a " + target.get_name() + "." );
  }
  clock_.check( target, "usrl_trial_synapse" );
}

void
UsrlTrialCommonProperties::learn( UsrlTrialState& state, usrl_trial_neuron& target ) const
{
  const long now =
    kernel().simulation_manager.get_slice_origin().get_steps() + kernel().connection_manager.get_min_delay();
  if ( target.trial_end() != now or target.n_trials_ended() != state.n_trials_learnt_ + 1 )
  {
    throw nest::KernelException(
      "A usrl_trial_synapse has missed the end of a trial: trials must end at multiples of the deliver_interval of its "
      "volume_transmitter times the minimal delay." );
  }
  state.n_trials_learnt_ = target.n_trials_ended();

  state.E_ = 0.0;
  auto later = state.arrivals_.begin();
  for ( const long step : state.arrivals_ )
  {
    if ( step >= target.trial_end() )
    {
      *later++ = step;
    }
    else if ( step >= target.trial_begin() )
    {
      state.E_ += target.eligibility( step );
    }
  }
  state.arrivals_.erase( later, state.arrivals_.end() );

  const double change = reinterpret_cast< ScalarRule >( rule_->scalar )( target.reward(), state.E_ );
  state.weight_ += eta_ * change;
  if ( not std::isfinite( state.weight_ ) )
  {
    target.fail( std::isfinite( change ) or not std::isfinite( state.E_ ) );
  }
}

} // namespace e2l

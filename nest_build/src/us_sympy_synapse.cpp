/*
 *  us_sympy_synapse.cpp
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#include "us_sympy_synapse.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>

namespace
{

//! Rule as a loop over the steps of a slice; the target potential is the same in all of them.
using ArrayRule = void ( * )( std::int64_t n, const double* v, const double* u, const double* s, double* delta_w );

//! The rule "0.0", which models have before a rule is set.
double
zero( const double, const double, const double )
{
  return 0.0;
}

void
zeros( const std::int64_t n, const double*, const double*, const double*, double* const delta_w )
{
  std::fill_n( delta_w, n, 0.0 );
}

//! Sum of the products. Four partial sums do not wait for one another; their order is fixed.
double
dot( const double* const a, const double* const b, const long n )
{
  double sum[ 4 ] = { 0.0, 0.0, 0.0, 0.0 };
  long k = 0;
  for ( ; k + 4 <= n; k += 4 )
  {
    for ( int i = 0; i < 4; ++i )
    {
      sum[ i ] += a[ k + i ] * b[ k + i ];
    }
  }
  for ( ; k < n; ++k )
  {
    sum[ 0 ] += a[ k ] * b[ k ];
  }
  return ( sum[ 0 ] + sum[ 1 ] ) + ( sum[ 2 ] + sum[ 3 ] );
}

} // namespace

namespace e2l
{

using nest::kernel;
using nest::Time;
namespace names = nest::names;

void
register_us_sympy_synapse( const std::string& name )
{
  RuleRegistry::instance().add( "0.0", { reinterpret_cast< void* >( zero ), reinterpret_cast< void* >( zeros ) } );
  nest::register_connection_model< us_sympy_synapse >( name );
}

UsSympyCommonProperties::UsSympyCommonProperties()
  : rule_( RuleRegistry::instance().resolve( P_.expr_ ) )
{
}

void
UsSympyCommonProperties::get_status( Dictionary& d ) const
{
  CommonSynapseProperties::get_status( d );
  d[ names::volume_transmitter ] = nest::NodeCollection::create( volume_transmitter_ );
  d[ "expr" ] = P_.expr_;
  d[ names::eta ] = P_.eta_;
  d[ "tau_I" ] = P_.tau_I_;
  d[ "tau" ] = P_.tau_;
  d[ "Tau" ] = P_.Tau_;
  d[ "C" ] = P_.C_;
  d[ names::rho ] = P_.rho_;
  d[ names::delta ] = P_.delta_;
}

void
UsSympyCommonProperties::set_status( const Dictionary& d, nest::ConnectorModel& cm )
{
  CommonSynapseProperties::set_status( d, cm );

  // Temporary copies: nothing changes if anything is wrong.
  Parameters_ p = P_;
  d.update_value( names::eta, p.eta_ );
  d.update_value( "tau_I", p.tau_I_ );
  d.update_value( "tau", p.tau_ );
  d.update_value( "Tau", p.Tau_ );
  d.update_value( "C", p.C_ );
  d.update_value( names::rho, p.rho_ );
  d.update_value( names::delta, p.delta_ );
  // Written so that NaN fails, too.
  if ( not( p.tau_I_ > 0 and p.tau_ > 0 and p.Tau_ > 0 ) )
  {
    throw nest::BadProperty( "Time constants tau_I, tau and Tau must be > 0." );
  }
  if ( not( p.C_ > 0 ) )
  {
    throw nest::BadProperty( "Capacitance C must be > 0." );
  }

  nest::volume_transmitter* transmitter = volume_transmitter_;
  nest::NodeCollectionPTR nodes;
  if ( d.update_value( names::volume_transmitter, nodes ) )
  {
    if ( nodes->size() != 1 )
    {
      throw nest::BadProperty( "Property volume_transmitter must be a NodeCollection with one node." );
    }
    // Volume transmitters exist on every thread; each thread uses its own.
    nest::Node* const node =
      kernel().node_manager.get_node_or_proxy( ( *nodes )[ 0 ], kernel().vp_manager.get_thread_id() );
    transmitter = dynamic_cast< nest::volume_transmitter* >( node );
    if ( not transmitter )
    {
      throw nest::BadProperty( "Property volume_transmitter must be a node of the model volume_transmitter." );
    }
  }

  RulePtr rule = rule_;
  if ( d.update_value( "expr", p.expr_ ) )
  {
    rule = RuleRegistry::instance().resolve( p.expr_ );
  }

  P_ = p;
  volume_transmitter_ = transmitter;
  rule_ = rule;
  V_.n_steps_ = 0;
}

void
UsSympyCommonProperties::check_target( nest::Node& target ) const
{
  if ( not volume_transmitter_ )
  {
    throw nest::BadProperty(
      "No volume_transmitter has been assigned to the us_sympy_synapse. Create one after the postsynaptic "
      "neurons and set it by SetDefaults() or CopyModel()." );
  }
  if ( not dynamic_cast< const iaf_psc_exp_escape* >( &target ) )
  {
    throw nest::IllegalConnection(
      "The target of a us_sympy_synapse must be an iaf_psc_exp_escape, not a " + target.get_name() + "." );
  }
  if ( volume_transmitter_->get_node_id() < target.get_node_id() )
  {
    throw nest::IllegalConnection(
      "The volume_transmitter of a us_sympy_synapse must be created after its target, because nodes are updated in "
      "the order of their creation." );
  }
  Dictionary transmitter_status;
  volume_transmitter_->get_status( transmitter_status );
  if ( transmitter_status.get< long >( names::deliver_interval ) != 1 )
  {
    throw nest::IllegalConnection( "The volume_transmitter of a us_sympy_synapse must have deliver_interval 1." );
  }
}

void
UsSympyCommonProperties::calibrate_( const double h, const long n_steps ) const
{
  V_.h_ = h;
  V_.n_steps_ = n_steps;
  V_.propagator_.calibrate( P_.tau_, P_.Tau_, P_.C_, h, n_steps );
  V_.s_.resize( n_steps );
  V_.delta_w_.resize( n_steps );
  V_.to_I_.resize( n_steps );
  V_.to_I_sum_.resize( n_steps );

  // I is linear in the values of the rule: I at the end of the slice and the sum of I over its
  // steps are weighted sums of them.
  const double PI = std::exp( -h / P_.tau_I_ );
  double decay = 1.0;
  V_.decay_sum_ = 0.0;
  double to_I_sum = 0.0;
  for ( long k = n_steps - 1; k >= 0; --k )
  {
    V_.to_I_[ k ] = ( 1.0 - PI ) * decay;
    V_.to_I_sum_[ k ] = to_I_sum = to_I_sum + V_.to_I_[ k ];
    decay *= PI;
    V_.decay_sum_ += decay;
  }
  V_.decay_ = decay;
}

void
UsSympyCommonProperties::integrate_slice( UsSympyState& state, const iaf_psc_exp_escape& target ) const
{
  const long n_steps = kernel().connection_manager.get_min_delay();
  const long begin = kernel().simulation_manager.get_slice_origin().get_steps();
  const long end = begin + n_steps;
  if ( target.updated_until() != end or ( state.integrated_until_ >= 0 and state.integrated_until_ != begin ) )
  {
    throw nest::KernelException(
      "us_sympy_synapse has to be integrated in every slice, after its target was updated. Its target must not be "
      "frozen, and its volume_transmitter must be newer than its target and keep deliver_interval 1." );
  }
  state.integrated_until_ = end;

  const double h = Time::get_resolution().get_ms();
  if ( V_.n_steps_ != n_steps or V_.h_ != h )
  {
    calibrate_( h, n_steps );
  }

  // Spikes that arrive in a step change the current at the end of that step.
  state.arrivals_.take( end, V_.arriving_ );
  long lag = 0;
  for ( const Arrival& arrival : V_.arriving_ )
  {
    const long next = arrival.step - begin + 1;
    V_.propagator_.advance( state.psp_, state.psc_, 0.0, next - lag, V_.s_.data() + lag );
    state.psc_ += arrival.amount;
    lag = next;
  }
  V_.propagator_.advance( state.psp_, state.psc_, 0.0, n_steps - lag, V_.s_.data() + lag );

  const double v = target.target_potential();
  reinterpret_cast< ArrayRule >( rule_->array )(
    n_steps, &v, target.slice_potential(), V_.s_.data(), V_.delta_w_.data() );

  const double I_sum = state.I_ * V_.decay_sum_ + dot( V_.to_I_sum_.data(), V_.delta_w_.data(), n_steps );
  state.I_ = state.I_ * V_.decay_ + dot( V_.to_I_.data(), V_.delta_w_.data(), n_steps );
  state.weight_at_slice_begin_ = state.weight_;
  state.weight_ += P_.eta_ * h * I_sum;
}

} // namespace e2l

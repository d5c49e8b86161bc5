/*
 *  iaf_psc_exp_escape.cpp
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#include "iaf_psc_exp_escape.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace nest
{

template <>
void
RecordablesMap< e2l::iaf_psc_exp_escape >::create()
{
  insert_( names::V_m, &e2l::iaf_psc_exp_escape::get_V_m_ );
  insert_( names::I_syn, &e2l::iaf_psc_exp_escape::get_I_syn_ );
  insert_( "u_target", &e2l::iaf_psc_exp_escape::get_u_target_ );
}

} // namespace nest

namespace e2l
{

using nest::kernel;
using nest::Time;
namespace names = nest::names;

nest::RecordablesMap< iaf_psc_exp_escape > iaf_psc_exp_escape::recordablesMap_;

void
register_iaf_psc_exp_escape( const std::string& name )
{
  // Several modules bring this neuron: the first one that is installed registers it.
  try
  {
    kernel().model_manager.get_node_model_id( name );
  }
  catch ( const nest::UnknownModelName& )
  {
    nest::register_node_model< iaf_psc_exp_escape >( name );
  }
}

/* ----------------------------------------------------------------
 * Parameters and state
 * ---------------------------------------------------------------- */

void
iaf_psc_exp_escape::Parameters_::get( Dictionary& d ) const
{
  d[ names::E_L ] = E_L_;
  d[ names::C_m ] = C_m_;
  d[ names::tau_m ] = tau_m_;
  d[ names::tau_syn ] = tau_syn_;
  d[ names::I_e ] = I_e_;
  d[ names::V_th ] = V_th_;
  d[ names::V_reset ] = V_reset_;
  d[ names::t_ref ] = t_ref_;
  d[ "reset_after_spike" ] = reset_after_spike_;
  d[ names::rho ] = rho_;
  d[ names::delta ] = delta_;
  d[ "noise_seed" ] = noise_seed_;
  d[ "noise_trial" ] = noise_trial_;
  d[ "noise_role" ] = noise_role_;
  d[ "target_interval" ] = target_interval_;
  d[ "hide_sampling_step" ] = hide_sampling_step_;
  d[ "trace_interval" ] = trace_interval_;
}

double
iaf_psc_exp_escape::Parameters_::set( const Dictionary& d )
{
  const double E_L_before = E_L_;
  d.update_value( names::E_L, E_L_ );
  d.update_value( names::C_m, C_m_ );
  d.update_value( names::tau_m, tau_m_ );
  d.update_value( names::tau_syn, tau_syn_ );
  d.update_value( names::I_e, I_e_ );
  d.update_value( names::V_th, V_th_ );
  d.update_value( names::V_reset, V_reset_ );
  d.update_value( names::t_ref, t_ref_ );
  d.update_value( "reset_after_spike", reset_after_spike_ );
  d.update_value( names::rho, rho_ );
  d.update_value( names::delta, delta_ );
  d.update_integer_value( "noise_seed", noise_seed_ );
  d.update_integer_value( "noise_trial", noise_trial_ );
  d.update_integer_value( "noise_role", noise_role_ );
  d.update_value( "target_interval", target_interval_ );
  d.update_value( "hide_sampling_step", hide_sampling_step_ );
  d.update_value( "trace_interval", trace_interval_ );

  // Written so that NaN fails, too.
  if ( not( C_m_ > 0 ) )
  {
    throw nest::BadProperty( "Capacitance C_m must be > 0." );
  }
  if ( not( tau_m_ > 0 and tau_syn_ > 0 ) )
  {
    throw nest::BadProperty( "Time constants tau_m and tau_syn must be > 0." );
  }
  if ( not( t_ref_ >= 0 ) )
  {
    throw nest::BadProperty( "Refractory time t_ref must be >= 0." );
  }
  if ( not( rho_ >= 0 ) )
  {
    throw nest::BadProperty( "Rate at threshold rho must be >= 0." );
  }
  if ( not( delta_ >= 0 ) )
  {
    throw nest::BadProperty( "Width of the threshold region delta must be >= 0." );
  }
  if ( reset_after_spike_ and not( V_reset_ < V_th_ ) )
  {
    throw nest::BadProperty( "Reset potential V_reset must be below the threshold V_th." );
  }
  if ( noise_seed_ < 0 or noise_trial_ < 0 or noise_role_ < 0 )
  {
    throw nest::BadProperty( "noise_seed, noise_trial and noise_role must be >= 0." );
  }
  const Time interval = Time( Time::ms( target_interval_ ) );
  if ( not( target_interval_ > 0 ) or not interval.is_step() )
  {
    throw nest::BadProperty( "target_interval must be a positive multiple of the resolution." );
  }
  if ( trace_interval_ != 0.0 and not( trace_interval_ > 0 and Time( Time::ms( trace_interval_ ) ).is_step() ) )
  {
    throw nest::BadProperty( "trace_interval must be 0 or a multiple of the resolution." );
  }
  return E_L_ - E_L_before;
}

void
iaf_psc_exp_escape::State_::get( Dictionary& d, const Parameters_& p ) const
{
  d[ names::V_m ] = p.E_L_ + V_;
  d[ names::I_syn ] = I_syn_;
  d[ "u_target" ] = u_target_;
}

void
iaf_psc_exp_escape::State_::set( const Dictionary& d, const Parameters_& p, const double delta_E_L )
{
  double V_m;
  if ( d.update_value( names::V_m, V_m ) )
  {
    V_ = V_m - p.E_L_;
  }
  else
  {
    V_ -= delta_E_L;
  }
  d.update_value( names::I_syn, I_syn_ );
  d.update_value( "u_target", u_target_ );
}

iaf_psc_exp_escape::Buffers_::Buffers_( iaf_psc_exp_escape& n )
  : logger_( n )
{
}

iaf_psc_exp_escape::iaf_psc_exp_escape()
  : ArchivingNode()
  , B_( *this )
{
  recordablesMap_.create();
}

iaf_psc_exp_escape::iaf_psc_exp_escape( const iaf_psc_exp_escape& n )
  : ArchivingNode( n )
  , P_( n.P_ )
  , S_( n.S_ )
  , B_( *this )
{
}

void
iaf_psc_exp_escape::get_status( Dictionary& d ) const
{
  ArchivingNode::get_status( d );
  P_.get( d );
  S_.get( d, P_ );
  if ( P_.trace_interval_ > 0.0 )
  {
    d[ "V_m_trace" ] = B_.trace_;
  }
  d[ "n_trace" ] = static_cast< long >( B_.trace_.size() );
  d[ names::recordables ] = recordablesMap_.get_list();
}

void
iaf_psc_exp_escape::set_status( const Dictionary& d )
{
  // Temporary copies: nothing changes if anything is wrong.
  Parameters_ p = P_;
  const double delta_E_L = p.set( d );
  State_ s = S_;
  s.set( d, p, delta_E_L );
  long n_trace = B_.trace_.size();
  if ( d.update_integer_value( "n_trace", n_trace ) and n_trace != 0 )
  {
    throw nest::BadProperty( "n_trace can only be set to 0." );
  }
  ArchivingNode::set_status( d );
  P_ = p;
  S_ = s;
  if ( n_trace == 0 )
  {
    B_.trace_.clear();
  }
}

/* ----------------------------------------------------------------
 * Preparation
 * ---------------------------------------------------------------- */

void
iaf_psc_exp_escape::init_buffers_()
{
  B_.spikes_.clear();
  B_.targets_.clear();
  B_.hidden_step_ = -1;
  B_.updated_until_ = 0;
  B_.trace_.clear();
  B_.logger_.reset();
  ArchivingNode::clear_history();
}

void
iaf_psc_exp_escape::pre_run_hook()
{
  B_.logger_.init();

  const double h = Time::get_resolution().get_ms();
  const long slice_steps = kernel().connection_manager.get_min_delay();
  V_.propagator_.calibrate( P_.tau_syn_, P_.tau_m_, P_.C_m_, h, slice_steps );
  V_.noise_.calibrate( P_.noise_seed_, P_.noise_trial_, P_.noise_role_ );
  V_.is_silent_ = P_.rho_ == 0.0 and P_.delta_ > 0.0;
  V_.step_in_seconds_ = h * 1e-3;
  V_.refractory_steps_ = Time( Time::ms( P_.t_ref_ ) ).get_steps();
  V_.target_interval_steps_ = Time( Time::ms( P_.target_interval_ ) ).get_steps();
  V_.trace_steps_ = Time( Time::ms( P_.trace_interval_ ) ).get_steps();

  V_.recording_steps_ = 0;
  for ( const double time : B_.recording_times_ )
  {
    V_.recording_steps_ = std::gcd( V_.recording_steps_, Time( Time::ms( time ) ).get_steps() );
  }

  // A simulation can stop and go on within a slice: keep what is there.
  B_.u_.resize( slice_steps, P_.E_L_ );
  B_.u_shown_.resize( slice_steps, P_.E_L_ );
}

/* ----------------------------------------------------------------
 * Update
 * ---------------------------------------------------------------- */

void
iaf_psc_exp_escape::update( const Time& origin, const long from, const long to )
{
  const long slice_begin = origin.get_steps();
  if ( from == 0 )
  {
    take_target_( slice_begin );
  }

  B_.spikes_.take( slice_begin + to, B_.arriving_ );
  auto arrival = B_.arriving_.cbegin();
  for ( long lag = from; lag < to; )
  {
    // Spikes that arrive in a step change the current at the end of that step.
    const bool is_last = arrival == B_.arriving_.cend();
    const long jump = is_last ? to : arrival->step - slice_begin;
    const long begin = lag;
    const double I_syn = S_.I_syn_;
    lag = evolve_( slice_begin, begin, std::min( jump + 1, to ) );
    for ( ; lag == jump + 1 and arrival != B_.arriving_.cend() and arrival->step - slice_begin == jump; ++arrival )
    {
      S_.I_syn_ += arrival->amount;
    }
    if ( V_.recording_steps_ > 0 )
    {
      record_( slice_begin, begin, lag, I_syn );
    }
    if ( V_.trace_steps_ > 0 )
    {
      trace_( slice_begin, begin, lag );
    }
  }

  if ( B_.hidden_step_ >= 0 )
  {
    std::copy( B_.u_.begin() + from, B_.u_.begin() + to, B_.u_shown_.begin() + from );
    B_.u_shown_[ B_.hidden_step_ ] = P_.E_L_;
  }
  B_.updated_until_ = slice_begin + to;

  if ( kernel().connection_manager.secondary_connections_exist() )
  {
    nest::DelayedRateConnectionEvent e;
    e.set_coeffarray( B_.u_ );
    kernel().event_delivery_manager.send_secondary( *this, e );
  }
}

void
iaf_psc_exp_escape::take_target_( const long slice_begin )
{
  B_.hidden_step_ = -1;
  B_.targets_.take( slice_begin + kernel().connection_manager.get_min_delay(), B_.arriving_ );
  if ( B_.arriving_.empty() )
  {
    return;
  }
  // Several teachers add up; of several targets in one slice the last one applies.
  const long step = B_.arriving_.back().step;
  S_.u_target_ = 0.0;
  for ( const Arrival& target : B_.arriving_ )
  {
    if ( target.step == step )
    {
      S_.u_target_ += target.amount;
    }
  }
  if ( P_.hide_sampling_step_ )
  {
    B_.hidden_step_ = step - slice_begin;
  }
}

long
iaf_psc_exp_escape::evolve_( const long slice_begin, const long begin, const long end )
{
  if ( S_.r_ref_ > 0 )
  {
    const long stop = std::min( end, begin + S_.r_ref_ );
    std::fill( B_.u_.begin() + begin, B_.u_.begin() + stop, P_.V_reset_ );
    S_.r_ref_ -= stop - begin;
    S_.I_syn_ = V_.propagator_.current( S_.I_syn_, stop - begin );
    return stop;
  }

  const double I_syn = S_.I_syn_;
  const long n = end - begin;
  V_.propagator_.advance( S_.V_, S_.I_syn_, P_.E_L_, n, B_.u_.data() + begin );
  if ( P_.I_e_ != 0.0 )
  {
    for ( long k = 0; k < n; ++k )
    {
      B_.u_[ begin + k ] += P_.I_e_ * V_.propagator_.step_response( k );
    }
    S_.V_ += P_.I_e_ * V_.propagator_.step_response( n - 1 );
  }
  if ( V_.is_silent_ )
  {
    return end;
  }

  for ( long lag = find_spike_( slice_begin, begin, end ); lag < end; lag = find_spike_( slice_begin, lag + 1, end ) )
  {
    spike_( slice_begin, lag );
    if ( P_.reset_after_spike_ )
    {
      S_.V_ = P_.V_reset_ - P_.E_L_;
      S_.I_syn_ = V_.propagator_.current( I_syn, lag + 1 - begin );
      S_.r_ref_ = V_.refractory_steps_;
      return lag + 1;
    }
  }
  return end;
}

long
iaf_psc_exp_escape::find_spike_( const long slice_begin, const long begin, const long end )
{
  if ( P_.delta_ == 0.0 )
  {
    const auto above = [ this ]( const double u ) { return u >= P_.V_th_; };
    return std::find_if( B_.u_.cbegin() + begin, B_.u_.cbegin() + end, above ) - B_.u_.cbegin();
  }
  if ( begin == end )
  {
    return end;
  }

  const auto probability = [ this ]( const double u )
  { return P_.rho_ * std::exp( ( u - P_.V_th_ ) / P_.delta_ ) * V_.step_in_seconds_; };
  // Most random numbers exceed the largest probability: these steps need no exponential. The
  // margin covers that exp() need not be monotonic in its last digit.
  const double bound = probability( *std::max_element( B_.u_.cbegin() + begin, B_.u_.cbegin() + end ) ) * ( 1 + 1e-12 );
  for ( long lag = begin; lag < end; ++lag )
  {
    const double r = V_.noise_.uniform( slice_begin + lag );
    if ( r < bound and r < probability( B_.u_[ lag ] ) )
    {
      return lag;
    }
  }
  return end;
}

void
iaf_psc_exp_escape::spike_( const long slice_begin, const long lag )
{
  set_spiketime( Time::step( slice_begin + lag + 1 ) );
  nest::SpikeEvent e;
  kernel().event_delivery_manager.send( *this, e, lag );
}

void
iaf_psc_exp_escape::record_( const long slice_begin, const long begin, const long end, const double I_syn )
{
  const long step = V_.recording_steps_;
  // The state after step k is the one at time (k + 1) h.
  for ( long lag = first_multiple_( slice_begin, begin, step ); lag < end; lag += step )
  {
    const bool is_last = lag == end - 1;
    B_.recorded_V_m_ = is_last ? P_.E_L_ + S_.V_ : B_.u_[ lag ];
    B_.recorded_I_syn_ = is_last ? S_.I_syn_ : V_.propagator_.current( I_syn, lag + 1 - begin );
    B_.logger_.record_data( slice_begin + lag );
  }
}

void
iaf_psc_exp_escape::trace_( const long slice_begin, const long begin, const long end )
{
  const long step = V_.trace_steps_;
  for ( long lag = first_multiple_( slice_begin, begin, step ); lag < end; lag += step )
  {
    B_.trace_.push_back( lag == end - 1 ? P_.E_L_ + S_.V_ : B_.u_[ lag ] );
  }
}

/* ----------------------------------------------------------------
 * Events
 * ---------------------------------------------------------------- */

void
iaf_psc_exp_escape::handle( nest::SpikeEvent& e )
{
  const long slice_begin = kernel().simulation_manager.get_slice_origin().get_steps();
  B_.spikes_.add( slice_begin + e.get_rel_delivery_steps( kernel().simulation_manager.get_slice_origin() ),
    e.get_weight() * e.get_multiplicity() );
}

void
iaf_psc_exp_escape::handle( nest::DelayedRateConnectionEvent& e )
{
  // The event holds the potential of each step of the previous slice.
  const long slice_steps = kernel().connection_manager.get_min_delay();
  const long sent_begin = kernel().simulation_manager.get_slice_origin().get_steps() - slice_steps;
  if ( sent_begin < 0 )
  {
    return;
  }
  const long interval = V_.target_interval_steps_;
  const long first = ( sent_begin + interval - 1 ) / interval * interval;
  for ( long step = first; step < sent_begin + slice_steps; step += interval )
  {
    auto value = e.begin() + ( step - sent_begin ) * nest::number_of_uints_covered< double >();
    B_.targets_.add( step + e.get_delay_steps(), e.get_weight() * e.get_coeffvalue( value ) );
  }
}

void
iaf_psc_exp_escape::handle( nest::DataLoggingRequest& e )
{
  B_.logger_.handle( e );
}

size_t
iaf_psc_exp_escape::handles_test_event( nest::DataLoggingRequest& e, size_t receptor_type )
{
  if ( receptor_type != 0 )
  {
    throw nest::UnknownReceptorType( receptor_type, get_name() );
  }
  const size_t port = B_.logger_.connect_logging_device( e, recordablesMap_ );
  B_.recording_times_.push_back( e.get_recording_interval().get_ms() );
  B_.recording_times_.push_back( e.get_recording_offset().get_ms() );
  return port;
}

} // namespace e2l

/*
 *  usrl_trial_neuron.cpp
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#include "usrl_trial_neuron.h"

#include <algorithm>
#include <cmath>

namespace nest
{

template <>
void
RecordablesMap< e2l::usrl_trial_neuron >::create()
{
  insert_( names::V_m, &e2l::usrl_trial_neuron::get_V_m_ );
}

} // namespace nest

namespace e2l
{

using nest::kernel;
using nest::Time;
namespace names = nest::names;

nest::RecordablesMap< usrl_trial_neuron > usrl_trial_neuron::recordablesMap_;

void
register_usrl_trial_neuron( const std::string& name )
{
  nest::register_node_model< usrl_trial_neuron >( name );
}

/* ----------------------------------------------------------------
 * Parameters and state
 * ---------------------------------------------------------------- */

void
usrl_trial_neuron::Parameters_::get( Dictionary& d ) const
{
  d[ names::E_L ] = E_L_;
  d[ names::C_m ] = C_m_;
  d[ names::tau_m ] = tau_m_;
  d[ names::tau_syn ] = tau_syn_;
  d[ names::V_th ] = V_th_;
  d[ names::V_reset ] = V_reset_;
  d[ names::t_ref ] = t_ref_;
  d[ names::rho ] = rho_;
  d[ names::delta ] = delta_;
  d[ "noise_seed" ] = noise_seed_;
  d[ "noise_trial" ] = noise_trial_;
  d[ "noise_role" ] = noise_role_;
  d[ "frozen_noise" ] = frozen_noise_;
  d[ "trial_duration" ] = trial_duration_;
  d[ "first_trial" ] = first_trial_;
  d[ "target_class" ] = target_class_;
  d[ "tau_E" ] = tau_E_;
  d[ "rho_E" ] = rho_E_;
  d[ "delta_E" ] = delta_E_;
  d[ "V_th_E" ] = V_th_E_;
}

void
usrl_trial_neuron::Parameters_::set( const Dictionary& d )
{
  d.update_value( names::E_L, E_L_ );
  d.update_value( names::C_m, C_m_ );
  d.update_value( names::tau_m, tau_m_ );
  d.update_value( names::tau_syn, tau_syn_ );
  d.update_value( names::V_th, V_th_ );
  d.update_value( names::V_reset, V_reset_ );
  d.update_value( names::t_ref, t_ref_ );
  d.update_value( names::rho, rho_ );
  d.update_value( names::delta, delta_ );
  d.update_integer_value( "noise_seed", noise_seed_ );
  d.update_integer_value( "noise_trial", noise_trial_ );
  d.update_integer_value( "noise_role", noise_role_ );
  d.update_value( "frozen_noise", frozen_noise_ );
  d.update_value( "trial_duration", trial_duration_ );
  d.update_value( "first_trial", first_trial_ );
  d.update_value( "target_class", target_class_ );
  d.update_value( "tau_E", tau_E_ );
  d.update_value( "rho_E", rho_E_ );
  d.update_value( "delta_E", delta_E_ );
  d.update_value( "V_th_E", V_th_E_ );

  // Written so that NaN fails, too.
  if ( not( C_m_ > 0 ) )
  {
    throw nest::BadProperty( "Capacitance C_m must be > 0." );
  }
  if ( not( tau_m_ > 0 and tau_syn_ > 0 and tau_E_ > 0 ) )
  {
    throw nest::BadProperty( "Time constants tau_m, tau_syn and tau_E must be > 0." );
  }
  if ( not( t_ref_ >= 0 ) )
  {
    throw nest::BadProperty( "Refractory time t_ref must be >= 0." );
  }
  if ( not( rho_ >= 0 and rho_E_ >= 0 ) )
  {
    throw nest::BadProperty( "Rates at threshold rho and rho_E must be >= 0." );
  }
  if ( not( delta_ >= 0 and delta_E_ > 0 ) )
  {
    throw nest::BadProperty( "Widths of the threshold regions must be delta >= 0 and delta_E > 0." );
  }
  if ( not( V_reset_ < V_th_ ) )
  {
    throw nest::BadProperty( "Reset potential V_reset must be below the threshold V_th." );
  }
  if ( not( std::isfinite( E_L_ ) and std::isfinite( V_th_E_ ) ) )
  {
    throw nest::BadProperty( "Potentials E_L and V_th_E must be finite." );
  }
  if ( noise_seed_ < 0 or noise_trial_ < 0 or noise_role_ < 0 )
  {
    throw nest::BadProperty( "noise_seed, noise_trial and noise_role must be >= 0." );
  }
  if ( not( trial_duration_ > 0 ) or not Time( Time::ms( trial_duration_ ) ).is_step() )
  {
    throw nest::BadProperty( "trial_duration must be a positive multiple of the resolution." );
  }
  if ( not( first_trial_ >= 0 ) or not Time( Time::ms( first_trial_ ) ).is_grid_time() )
  {
    throw nest::BadProperty( "first_trial must be a multiple of the resolution, and not negative." );
  }
  const auto is_class = []( const double answer ) { return answer == 1.0 or answer == -1.0; };
  if ( not std::all_of( target_class_.cbegin(), target_class_.cend(), is_class ) )
  {
    throw nest::BadProperty( "All elements of target_class must be +1 or -1." );
  }
}

usrl_trial_neuron::Buffers_::Buffers_( usrl_trial_neuron& n )
  : logger_( n )
{
}

usrl_trial_neuron::usrl_trial_neuron()
  : ArchivingNode()
  , B_( *this )
{
  recordablesMap_.create();
}

usrl_trial_neuron::usrl_trial_neuron( const usrl_trial_neuron& n )
  : ArchivingNode( n )
  , P_( n.P_ )
  , S_( n.S_ )
  , B_( *this )
{
}

void
usrl_trial_neuron::get_status( Dictionary& d ) const
{
  ArchivingNode::get_status( d );
  P_.get( d );
  d[ names::V_m ] = P_.E_L_ + S_.V_;
  d[ "reward" ] = S_.rewards_;
  d[ "failed_trial" ] = S_.failed_trial_;
  d[ "failure" ] = std::string( not has_failed() ? "" : S_.is_rule_finite_ ? "overflow" : "rule" );
  d[ names::recordables ] = recordablesMap_.get_list();
}

void
usrl_trial_neuron::set_status( const Dictionary& d )
{
  // Temporary copies: nothing changes if anything is wrong.
  Parameters_ p = P_;
  p.set( d );
  ArchivingNode::set_status( d );
  P_ = p;
}

/* ----------------------------------------------------------------
 * Preparation
 * ---------------------------------------------------------------- */

void
usrl_trial_neuron::init_buffers_()
{
  B_.spikes_.clear();
  B_.chunks_.clear();
  B_.arrivals_.clear();
  B_.logger_.reset();
  ArchivingNode::clear_history();
}

void
usrl_trial_neuron::pre_run_hook()
{
  B_.logger_.init();

  const double h = Time::get_resolution().get_ms();
  V_.integrator_.calibrate( { .h = h,
    .tau_syn = P_.tau_syn_,
    .tau_m = P_.tau_m_,
    .C_m = P_.C_m_,
    .E_L = P_.E_L_,
    .tau_E = P_.tau_E_,
    .rho_E = P_.rho_E_,
    .delta_E = P_.delta_E_,
    .V_th_E = P_.V_th_E_ } );
  V_.is_silent_ = P_.rho_ == 0.0 and P_.delta_ > 0.0;
  V_.step_in_seconds_ = h * 1e-3;
  V_.refractory_steps_ = Time( Time::ms( P_.t_ref_ ) ).get_steps();
  V_.trial_steps_ = Time( Time::ms( P_.trial_duration_ ) ).get_steps();
  V_.first_trial_step_ = Time( Time::ms( P_.first_trial_ ) ).get_steps();
  V_.noise_bounds_.reset();

  const long slice_steps = kernel().connection_manager.get_min_delay();
  if ( V_.trial_steps_ % slice_steps != 0 or V_.first_trial_step_ % slice_steps != 0 )
  {
    throw nest::BadProperty( "trial_duration and first_trial must be multiples of the minimal delay." );
  }
}

/* ----------------------------------------------------------------
 * Update
 * ---------------------------------------------------------------- */

void
usrl_trial_neuron::update( const Time& origin, const long from, const long to )
{
  const long slice_begin = origin.get_steps();
  B_.spikes_.take( slice_begin + to, B_.arriving_ );
  const long trial_begin = V_.first_trial_step_ + S_.n_trials_ended_ * V_.trial_steps_;
  const long begin = slice_begin + from - trial_begin;
  const long end = slice_begin + to - trial_begin;
  if ( not is_in_trial_() or begin < 0 )
  {
    record_( begin, end - begin, 0 );
    return;
  }
  if ( begin == 0 )
  {
    begin_trial_();
  }

  auto arrival = B_.arriving_.cbegin();
  for ( long step = begin; step < end; )
  {
    // Spikes that arrive in a step change the current at the end of that step.
    const bool is_last = arrival == B_.arriving_.cend();
    const long stop = is_last ? end : arrival->step - trial_begin + 1;
    step = evolve_( step, stop );
    if ( step == stop and not is_last )
    {
      B_.arrivals_.push_back( { arrival->step, B_.chunks_.size(), 0.0 } );
      const long now = arrival->step;
      for ( ; arrival != B_.arriving_.cend() and arrival->step == now; ++arrival )
      {
        S_.I_syn_ += arrival->amount;
      }
    }
  }
  if ( end == V_.trial_steps_ )
  {
    end_trial_();
  }
}

void
usrl_trial_neuron::begin_trial_()
{
  S_.V_ = 0.0;
  S_.I_syn_ = 0.0;
  S_.r_ref_ = 0;
  S_.has_spiked_ = false;
  S_.has_overflown_ = false;
  B_.chunks_.clear();
  B_.arrivals_.clear();
}

long
usrl_trial_neuron::evolve_( const long begin, const long end )
{
  const TrialIntegrator& integrator = V_.integrator_;
  TrialIntegrator::Chunk chunk;
  long n = std::min( end - begin, TrialIntegrator::chunk_steps );

  if ( S_.r_ref_ > 0 )
  {
    n = std::min( n, S_.r_ref_ );
    S_.r_ref_ -= n;
    integrator.clamp( P_.V_reset_, n, chunk );
    integrator.advance_current( S_.I_syn_, n );
    B_.chunks_.push_back( chunk );
    record_( begin, n, 0 );
    return begin + n;
  }

  double u_max = integrator.integrate( S_.V_, S_.I_syn_, n, chunk );
  const long lag = V_.is_silent_ ? n : find_spike_( begin, n, u_max );
  const bool spikes = lag < n;
  if ( spikes )
  {
    // The chunk ends with the spike.
    n = lag + 1;
    u_max = integrator.integrate( S_.V_, S_.I_syn_, n, chunk );
    integrator.add_spike( lag, chunk );
  }
  if ( integrator.overflows( u_max ) or not std::isfinite( S_.V_ + S_.I_syn_ ) )
  {
    S_.has_overflown_ = true;
  }
  B_.chunks_.push_back( chunk );
  record_( begin, n, lag );
  integrator.advance( S_.V_, S_.I_syn_, n );
  if ( spikes )
  {
    S_.V_ = P_.V_reset_ - P_.E_L_;
    S_.r_ref_ = V_.refractory_steps_;
    S_.has_spiked_ = true;
    const long step = V_.first_trial_step_ + S_.n_trials_ended_ * V_.trial_steps_ + begin + lag;
    set_spiketime( Time::step( step + 1 ) );
    nest::SpikeEvent e;
    kernel().event_delivery_manager.send( *this, e, step - kernel().simulation_manager.get_slice_origin().get_steps() );
  }
  return begin + n;
}

long
usrl_trial_neuron::find_spike_( const long begin, const long n, const double u_max )
{
  if ( P_.delta_ == 0.0 )
  {
    long lag = 0;
    while ( lag < n and not( u_max >= P_.V_th_ and V_.integrator_.potential( S_.V_, S_.I_syn_, lag ) >= P_.V_th_ ) )
    {
      ++lag;
    }
    return lag;
  }

  if ( not V_.noise_bounds_ or ( begin == 0 and not P_.frozen_noise_ ) )
  {
    const long trial = P_.noise_trial_ + ( P_.frozen_noise_ ? 0 : S_.n_trials_ended_ );
    V_.noise_.calibrate( P_.noise_seed_, trial, P_.noise_role_ );
    V_.noise_bounds_ = TrialNoise::shared( { .seed = P_.noise_seed_,
      .trial = trial,
      .role = P_.noise_role_,
      .n_steps = V_.trial_steps_,
      .V_th = P_.V_th_,
      .delta = P_.delta_,
      .scale = P_.rho_ * V_.step_in_seconds_ } );
  }
  if ( u_max < V_.noise_bounds_->bound( begin, begin + n ) )
  {
    return n;
  }
  // As iaf_psc_exp_escape decides it.
  const auto probability = [ this ]( const double u )
  { return P_.rho_ * std::exp( ( u - P_.V_th_ ) / P_.delta_ ) * V_.step_in_seconds_; };
  const double largest = probability( u_max ) * ( 1 + 1e-12 );
  for ( long lag = 0; lag < n; ++lag )
  {
    const double r = V_.noise_.uniform( begin + lag );
    if ( r < largest and r < probability( V_.integrator_.potential( S_.V_, S_.I_syn_, lag ) ) )
    {
      return lag;
    }
  }
  return n;
}

void
usrl_trial_neuron::record_( const long begin, const long n, const long n_free )
{
  if ( not B_.is_recorded_ )
  {
    return;
  }
  // The state after step k is the one at time (k + 1) h.
  const long trial_begin = V_.first_trial_step_ + S_.n_trials_ended_ * V_.trial_steps_;
  for ( long lag = 0; lag < n; ++lag )
  {
    B_.recorded_V_m_ = lag < n_free ? V_.integrator_.potential( S_.V_, S_.I_syn_, lag ) : P_.V_reset_;
    B_.logger_.record_data( trial_begin + begin + lag );
  }
}

void
usrl_trial_neuron::end_trial_()
{
  const double answer = S_.has_spiked_ ? 1.0 : -1.0;
  S_.rewards_.push_back( answer == P_.target_class_[ S_.n_trials_ended_ ] ? 1.0 : -1.0 );
  ++S_.n_trials_ended_;

  TrialIntegrator::Adjoint adjoint( V_.integrator_ );
  std::size_t chunk = B_.chunks_.size();
  for ( auto arrival = B_.arrivals_.rbegin(); arrival != B_.arrivals_.rend(); ++arrival )
  {
    while ( chunk > arrival->chunks )
    {
      adjoint.step_back( B_.chunks_[ --chunk ] );
    }
    arrival->G = S_.has_overflown_ ? std::nan( "" ) : adjoint.G();
  }
}

double
usrl_trial_neuron::eligibility( const long step ) const
{
  const auto arrival = std::lower_bound( B_.arrivals_.cbegin(),
    B_.arrivals_.cend(),
    step,
    []( const TrialArrival& a, const long s ) { return a.step < s; } );
  return arrival->G;
}

void
usrl_trial_neuron::fail( const bool is_rule_finite )
{
  S_.failed_trial_ = S_.n_trials_ended_ - 1;
  S_.is_rule_finite_ = S_.is_rule_finite_ and is_rule_finite;
}

/* ----------------------------------------------------------------
 * Events
 * ---------------------------------------------------------------- */

void
usrl_trial_neuron::handle( nest::SpikeEvent& e )
{
  const Time& slice_origin = kernel().simulation_manager.get_slice_origin();
  B_.spikes_.add(
    slice_origin.get_steps() + e.get_rel_delivery_steps( slice_origin ), e.get_weight() * e.get_multiplicity() );
}

void
usrl_trial_neuron::handle( nest::DataLoggingRequest& e )
{
  B_.logger_.handle( e );
}

size_t
usrl_trial_neuron::handles_test_event( nest::DataLoggingRequest& e, size_t receptor_type )
{
  if ( receptor_type != 0 )
  {
    throw nest::UnknownReceptorType( receptor_type, get_name() );
  }
  B_.is_recorded_ = true;
  return B_.logger_.connect_logging_device( e, recordablesMap_ );
}

} // namespace e2l

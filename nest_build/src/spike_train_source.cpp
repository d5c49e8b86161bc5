/*
 *  spike_train_source.cpp
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#include "spike_train_source.h"

#include <algorithm>
#include <utility>

namespace e2l
{

using nest::kernel;
using nest::Time;
namespace names = nest::names;

void
register_spike_train_source( const std::string& name )
{
  nest::register_node_model< spike_train_source >( name );
}

size_t
spike_train_source::send_test_event( nest::Node& target, size_t receptor_type, nest::synindex, bool )
{
  nest::SpikeEvent e;
  e.set_sender( *this );
  return target.handles_test_event( e, receptor_type );
}

void
spike_train_source::get_status( Dictionary& d ) const
{
  std::vector< double > spike_times;
  spike_times.reserve( spike_steps_.size() );
  for ( const long step : spike_steps_ )
  {
    spike_times.push_back( Time( Time::step( step ) ).get_ms() );
  }
  d[ names::spike_times ] = spike_times;
}

void
spike_train_source::set_status( const Dictionary& d )
{
  std::vector< double > spike_times;
  if ( not d.update_value( names::spike_times, spike_times ) )
  {
    return;
  }
  std::vector< long > spike_steps;
  spike_steps.reserve( spike_times.size() );
  for ( const double spike_time : spike_times )
  {
    // Written so that NaN fails, too.
    const Time time = spike_time > 0.0 ? Time( Time::ms( spike_time ) ) : Time();
    if ( not( spike_time > 0.0 ) or not time.is_finite() or not time.is_grid_time() )
    {
      throw nest::BadProperty( "Spike times must be greater than 0 and multiples of the resolution." );
    }
    spike_steps.push_back( time.get_steps() );
  }
  if ( not std::is_sorted( spike_steps.begin(), spike_steps.end() ) )
  {
    throw nest::BadProperty( "Spike times must be in ascending order." );
  }

  spike_steps_ = std::move( spike_steps );
  const long now = kernel().simulation_manager.get_time().get_steps();
  const auto next = std::upper_bound( spike_steps_.begin(), spike_steps_.end(), now );
  position_ = static_cast< std::size_t >( next - spike_steps_.begin() );
  await_next_();
}

void
spike_train_source::await_next_()
{
  next_tics_ = position_ < spike_steps_.size() ? spike_steps_[ position_ ] * Time::get_tics_per_step() : never_;
}

void
spike_train_source::send_( const long origin, const long from, const long to )
{
  nest::SpikeEvent e;
  for ( ; position_ < spike_steps_.size() and spike_steps_[ position_ ] <= origin + to; ++position_ )
  {
    // A spike with the time k h is emitted in the step that ends there.
    const long lag = spike_steps_[ position_ ] - 1 - origin;
    if ( lag >= from )
    {
      kernel().event_delivery_manager.send( *this, e, lag );
    }
  }
  await_next_();
}

} // namespace e2l

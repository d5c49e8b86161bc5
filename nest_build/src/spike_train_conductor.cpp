/*
 *  spike_train_conductor.cpp
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#include "spike_train_conductor.h"

#include "spike_train_source.h"

#include <algorithm>
#include <utility>

namespace e2l
{

using nest::kernel;

namespace
{

//! Return the source with this id, or null if the node is another thread's.
spike_train_source*
local_source( const std::size_t node_id, const std::size_t thread )
{
  nest::Node* const node = kernel().node_manager.get_node_or_proxy( node_id, thread );
  if ( node->is_proxy() )
  {
    return nullptr;
  }
  auto* const source = dynamic_cast< spike_train_source* >( node );
  if ( not source )
  {
    throw nest::BadProperty( "Property sources must be nodes of the model spike_train_source." );
  }
  return source;
}

} // namespace

void
register_spike_train_conductor( const std::string& name )
{
  nest::register_node_model< spike_train_conductor >( name );
}

void
spike_train_conductor::get_status( Dictionary& d ) const
{
  d[ "sources" ] = nest::NodeCollection::create( source_ids_ );
}

void
spike_train_conductor::set_status( const Dictionary& d )
{
  nest::NodeCollectionPTR sources;
  if ( not d.update_value( "sources", sources ) )
  {
    return;
  }
  std::vector< std::size_t > source_ids;
  source_ids.reserve( sources->size() );
  for ( const auto& item : *sources )
  {
    local_source( item.node_id, get_thread() );
    source_ids.push_back( item.node_id );
  }
  source_ids_ = std::move( source_ids );
}

void
spike_train_conductor::pre_run_hook()
{
  const long slice_steps = kernel().connection_manager.get_min_delay();
  const long now = kernel().simulation_manager.get_time().get_steps();
  first_slice_ = now / slice_steps;
  // A spike with the time k h is emitted in the step that ends there.
  const auto slice_of = [ & ]( const long step ) { return ( step - 1 ) / slice_steps - first_slice_; };

  struct Part
  {
    spike_train_source* source;
    std::vector< long >::const_iterator begin;
  };
  std::vector< Part > parts;
  parts.reserve( source_ids_.size() );
  long n_slices = 0;
  for ( const std::size_t id : source_ids_ )
  {
    spike_train_source* const source = local_source( id, get_thread() );
    if ( not source )
    {
      continue;
    }
    if ( not source->is_frozen() )
    {
      throw nest::BadProperty( "The sources of a spike_train_conductor must be frozen: they would spike twice." );
    }
    const std::vector< long >& steps = source->spike_steps();
    const auto begin = std::upper_bound( steps.begin(), steps.end(), now );
    if ( begin != steps.end() )
    {
      parts.push_back( { source, begin } );
      n_slices = std::max( n_slices, slice_of( steps.back() ) + 1 );
    }
  }

  // Spikes are counted by slice, then put in their places: within a slice in the order in which the
  // sources themselves would emit them, so that sums of inputs are rounded in the same way.
  begins_.assign( n_slices + 1, 0 );
  for ( const Part& part : parts )
  {
    for ( auto step = part.begin; step != part.source->spike_steps().end(); ++step )
    {
      ++begins_[ slice_of( *step ) + 1 ];
    }
  }
  for ( long slice = 0; slice < n_slices; ++slice )
  {
    begins_[ slice + 1 ] += begins_[ slice ];
  }
  spikes_.resize( begins_.back() );
  std::vector< std::size_t > next( begins_.begin(), begins_.end() );
  for ( const Part& part : parts )
  {
    for ( auto step = part.begin; step != part.source->spike_steps().end(); ++step )
    {
      spikes_[ next[ slice_of( *step ) ]++ ] = { part.source, ( *step - 1 ) % slice_steps };
    }
  }
}

void
spike_train_conductor::update( const nest::Time& origin, const long from, const long to )
{
  const long slice = origin.get_steps() / kernel().connection_manager.get_min_delay() - first_slice_;
  if ( slice >= static_cast< long >( begins_.size() ) - 1 )
  {
    return;
  }
  nest::SpikeEvent e;
  for ( std::size_t index = begins_[ slice ]; index < begins_[ slice + 1 ]; ++index )
  {
    const Spike& spike = spikes_[ index ];
    if ( spike.lag >= from and spike.lag < to )
    {
      kernel().event_delivery_manager.send( *spike.source, e, spike.lag );
    }
  }
}

} // namespace e2l

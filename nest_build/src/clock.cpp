/*
 *  clock.cpp
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#include "clock.h"

namespace names = nest::names;

void
e2l::Clock::get( Dictionary& d ) const
{
  d[ names::volume_transmitter ] = nest::NodeCollection::create( transmitter_ );
}

void
e2l::Clock::set( const Dictionary& d )
{
  nest::NodeCollectionPTR nodes;
  if ( not d.update_value( names::volume_transmitter, nodes ) )
  {
    return;
  }
  if ( nodes->size() != 1 )
  {
    throw nest::BadProperty( "Property volume_transmitter must be a NodeCollection with one node." );
  }
  nest::Node* const node =
    nest::kernel().node_manager.get_node_or_proxy( ( *nodes )[ 0 ], nest::kernel().vp_manager.get_thread_id() );
  auto* const transmitter = dynamic_cast< nest::volume_transmitter* >( node );
  if ( not transmitter )
  {
    throw nest::BadProperty( "Property volume_transmitter must be a node of the model volume_transmitter." );
  }
  transmitter_ = transmitter;
}

void
e2l::Clock::check( const nest::Node& target, const std::string& model ) const
{
  if ( not transmitter_ )
  {
    throw nest::BadProperty( "No volume_transmitter has been assigned to the " + model
      + ". Create one after the postsynaptic neurons and set it by SetDefaults() or CopyModel()." );
  }
  if ( transmitter_->get_node_id() < target.get_node_id() )
  {
    throw nest::IllegalConnection( "The volume_transmitter of a " + model
      + " must be created after its target, because nodes are updated in the order of their creation." );
  }
}

long
e2l::Clock::deliver_interval() const
{
  Dictionary status;
  transmitter_->get_status( status );
  return status.get< long >( names::deliver_interval );
}

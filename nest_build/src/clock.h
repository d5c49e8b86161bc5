/*
 *  clock.h
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#ifndef CLOCK_H
#define CLOCK_H

#include "nest_headers.h"

#include <string>

namespace e2l
{

/**
 * The volume_transmitter that tells the synapses of a model when to integrate.
 *
 * Part of the common properties of a synapse model. Volume transmitters exist on every thread, and
 * so do common properties: each uses the one of its own thread.
 */
class Clock
{
public:
  //! Node id for NEST, which calls the synapses of a volume_transmitter by it; -1: none.
  long
  node_id() const
  {
    return transmitter_ ? static_cast< long >( transmitter_->get_node_id() ) : -1;
  }

  void get( Dictionary& ) const;

  /**
   * Take the volume_transmitter from a status dictionary, if there is one in it.
   *
   * @throws nest::BadProperty
   */
  void set( const Dictionary& );

  /**
   * Check that there is a volume_transmitter that is updated after `target`.
   *
   * @throws nest::BadProperty, nest::IllegalConnection
   */
  void check( const nest::Node& target, const std::string& model ) const;

  //! Number of slices between two calls of the synapses.
  long deliver_interval() const;

private:
  nest::volume_transmitter* transmitter_ = nullptr;
};

} // namespace e2l

#endif /* #ifndef CLOCK_H */

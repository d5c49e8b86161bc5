/*
 *  spike_train_source.h
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#ifndef SPIKE_TRAIN_SOURCE_H
#define SPIKE_TRAIN_SOURCE_H

#include "nest_headers.h"

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

namespace e2l
{

/* BeginUserDocs: neuron, input

Short description
+++++++++++++++++

Input neuron that emits given spikes and costs next to nothing while it is silent

Description
+++++++++++

``spike_train_source`` emits spikes at given times, as ``spike_train_injector`` does, for networks with
thousands of inputs of low rate. There, most of the time of a simulation goes by asking inputs in
each time slice whether they have a spike; this model answers in a few nanoseconds. It has none of the
injector's options: times are on the grid of simulation steps, and spikes are simple.

Parameters
++++++++++

=============== == ================================================================================
``spike_times`` [] Times of the spikes in ms, ascending, multiples of the resolution and greater
                   than zero; two equal times are two spikes. Times that have passed are left out
=============== == ================================================================================

Sends
+++++

SpikeEvent

See also
++++++++

spike_train_conductor, spike_train_injector, spike_generator

EndUserDocs */

void register_spike_train_source( const std::string& name );

class spike_train_source : public nest::Node
{
public:
  size_t send_test_event( nest::Node&, size_t, nest::synindex, bool ) override;

  void get_status( Dictionary& ) const override;
  void set_status( const Dictionary& ) override;

  //! Steps at whose end spikes are emitted, ascending.
  const std::vector< long >&
  spike_steps() const
  {
    return spike_steps_;
  }

private:
  void
  pre_run_hook() override
  {
  }

  void
  update( const nest::Time& origin, const long from, const long to ) override
  {
    // Compared in tics: steps would have to be computed by a division for each node and slice.
    if ( next_tics_ <= origin.get_tics() + to * nest::Time::get_tics_per_step() )
    {
      send_( origin.get_steps(), from, to );
    }
  }

  //! Send the spikes of the current slice.
  void send_( long origin, long from, long to );

  //! Let the spike at `position_` be the next one.
  void await_next_();

  std::vector< long > spike_steps_; //!< steps at whose end spikes are emitted
  std::size_t position_ = 0;        //!< index of the next spike
  nest::tic_t next_tics_ = never_;  //!< time of the next spike
  static constexpr nest::tic_t never_ = std::numeric_limits< nest::tic_t >::max();
};

} // namespace e2l

#endif /* #ifndef SPIKE_TRAIN_SOURCE_H */

/*
 *  spike_train_conductor.h
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#ifndef SPIKE_TRAIN_CONDUCTOR_H
#define SPIKE_TRAIN_CONDUCTOR_H

#include "nest_headers.h"

#include <cstddef>
#include <string>
#include <vector>

namespace e2l
{

/* BeginUserDocs: device, generator

Short description
+++++++++++++++++

Device that emits the spikes of many frozen ``spike_train_source`` nodes in their place

Description
+++++++++++

NEST asks every node in each time slice to update its state. With thousands of inputs of low rate
that takes longer than everything else, although nearly all of them are silent. A frozen node is not
asked. ``spike_train_conductor`` knows the spikes of all its ``sources`` and emits them in their name:
targets, synapses and results are the same as if the sources were not frozen.

Parameters
++++++++++

=========== ================ ======================================================================
``sources`` NodeCollection   Nodes of the model ``spike_train_source`` with ``frozen`` = ``True``.
                             Their spike times are read when a simulation is prepared
=========== ================ ======================================================================

See also
++++++++

spike_train_source

EndUserDocs */

void register_spike_train_conductor( const std::string& name );

class spike_train_conductor : public nest::DeviceNode
{
public:
  //! There is one on each thread, which emits the spikes of the sources of this thread.
  bool
  has_proxies() const override
  {
    return false;
  }

  void get_status( Dictionary& ) const override;
  void set_status( const Dictionary& ) override;

private:
  //! One spike: its source and the step within the slice in which it is emitted.
  struct Spike
  {
    nest::Node* source;
    long lag;
  };

  void pre_run_hook() override;
  void update( const nest::Time& origin, const long from, const long to ) override;

  std::vector< std::size_t > source_ids_;

  std::vector< Spike > spikes_;       //!< by slice, within a slice by source and then by time
  std::vector< std::size_t > begins_; //!< index of the first spike of each slice, and the end
  long first_slice_ = 0;              //!< number of the slice that begins_ begins with
};

} // namespace e2l

#endif /* #ifndef SPIKE_TRAIN_CONDUCTOR_H */

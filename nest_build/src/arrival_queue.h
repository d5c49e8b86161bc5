/*
 *  arrival_queue.h
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#ifndef ARRIVAL_QUEUE_H
#define ARRIVAL_QUEUE_H

#include <algorithm>
#include <compare>
#include <vector>

namespace e2l
{

/**
 * Something that arrives at the end of a simulation step: a spike or a sampled value.
 */
struct Arrival
{
  long step;     //!< index of the simulation step
  double amount; //!< weight, multiplicity or value
};

/**
 * Arrivals that lie ahead.
 *
 * Slices are long compared with the intervals between spikes of one neuron only where rates are
 * extreme: a short list is cheaper than a ring buffer with one entry per step.
 */
class ArrivalQueue
{
public:
  void
  add( const long step, const double amount )
  {
    pending_.push_back( { step, amount } );
  }

  /**
   * Move what arrives before step `end` to `due`, ordered by step and then by amount.
   *
   * NEST's order of delivery depends on the number of threads. With an order of its own, the sum of
   * what arrives in a step is rounded in the same way always.
   */
  void
  take( const long end, std::vector< Arrival >& due )
  {
    due.clear();
    auto kept = pending_.begin();
    for ( const Arrival& arrival : pending_ )
    {
      if ( arrival.step < end )
      {
        due.push_back( arrival );
      }
      else
      {
        *kept++ = arrival;
      }
    }
    pending_.erase( kept, pending_.end() );

    const auto before = []( const Arrival& a, const Arrival& b )
    { return a.step != b.step ? a.step < b.step : std::strong_order( a.amount, b.amount ) < 0; };
    if ( not std::is_sorted( due.begin(), due.end(), before ) )
    {
      std::sort( due.begin(), due.end(), before );
    }
  }

  void
  clear()
  {
    pending_.clear();
  }

private:
  std::vector< Arrival > pending_;
};

} // namespace e2l

#endif /* #ifndef ARRIVAL_QUEUE_H */

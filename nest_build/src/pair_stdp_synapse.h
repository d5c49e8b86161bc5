/*
 *  pair_stdp_synapse.h
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#ifndef PAIR_STDP_SYNAPSE_H
#define PAIR_STDP_SYNAPSE_H

#include "nest_headers.h"

#include <cmath>

namespace e2l
{

/**
 * Synapse with spike-timing dependent plasticity of all pairs of pre- and postsynaptic spikes.
 *
 * How pairs change the weight is up to the common properties of the model, which have the methods
 *
 *   double tau_plus() const;                                  time constant of K_plus in ms
 *   double facilitate( double weight, double K_plus ) const;  weight after a postsynaptic spike
 *   double depress( double weight, double K_minus ) const;    weight after a presynaptic spike
 *
 * Both spike traces decay exponentially and grow by one with each spike; that of postsynaptic spikes
 * (K_minus) belongs to the postsynaptic neuron. As in NEST's stdp_synapse, all of the delay is
 * dendritic, and the weight changes when a presynaptic spike is sent: first by the postsynaptic
 * spikes since the previous one, then by the presynaptic spike itself.
 */
template < typename targetidentifierT, typename CommonPropertiesT >
class PairStdpSynapse : public nest::Connection< targetidentifierT >
{
public:
  typedef CommonPropertiesT CommonPropertiesType;
  typedef nest::Connection< targetidentifierT > ConnectionBase;

  static constexpr nest::ConnectionModelProperties properties = nest::ConnectionModelProperties::HAS_DELAY
    | nest::ConnectionModelProperties::IS_PRIMARY | nest::ConnectionModelProperties::SUPPORTS_HPC
    | nest::ConnectionModelProperties::SUPPORTS_LBL;

  using ConnectionBase::get_delay;
  using ConnectionBase::get_delay_steps;
  using ConnectionBase::get_rport;
  using ConnectionBase::get_target;

  void
  get_status( Dictionary& d ) const
  {
    ConnectionBase::get_status( d );
    d[ nest::names::weight ] = weight_;
    d[ nest::names::Kplus ] = K_plus_;
    d[ nest::names::size_of ] = static_cast< long >( sizeof( *this ) );
  }

  void
  set_status( const Dictionary& d, nest::ConnectorModel& cm )
  {
    ConnectionBase::set_status( d, cm );
    double K_plus = K_plus_;
    d.update_value( nest::names::Kplus, K_plus );
    if ( not( K_plus >= 0.0 ) )
    {
      throw nest::BadProperty( "Kplus must be >= 0." );
    }
    K_plus_ = K_plus;
    d.update_value( nest::names::weight, weight_ );
  }

  void
  set_weight( const double weight )
  {
    weight_ = weight;
  }

  class ConnTestDummyNode : public nest::ConnTestDummyNodeBase
  {
  public:
    using nest::ConnTestDummyNodeBase::handles_test_event;
    size_t
    handles_test_event( nest::SpikeEvent&, size_t ) override
    {
      return nest::invalid_port;
    }
  };

  void
  check_connection( nest::Node& source, nest::Node& target, size_t receptor_type, const CommonPropertiesType& )
  {
    ConnTestDummyNode dummy_target;
    ConnectionBase::check_connection_( dummy_target, source, target, receptor_type );
    target.register_stdp_connection( t_last_spike_ - get_delay(), get_delay() );
  }

  bool
  send( nest::Event& e, const size_t tid, const CommonPropertiesType& cp )
  {
    nest::Node* const target = get_target( tid );
    const double t_spike = e.get_stamp().get_ms();
    const double delay = get_delay();

    // Postsynaptic spikes that reached the synapse in (t_last_spike_, t_spike].
    std::deque< nest::histentry >::iterator post;
    std::deque< nest::histentry >::iterator end;
    target->get_history( t_last_spike_ - delay, t_spike - delay, &post, &end );
    double weight = weight_;
    for ( ; post != end; ++post )
    {
      const double minus_dt = t_last_spike_ - ( post->t_ + delay );
      weight = cp.facilitate( weight, K_plus_ * std::exp( minus_dt / cp.tau_plus() ) );
    }
    // Does not count a postsynaptic spike that reaches the synapse at t_spike.
    weight_ = cp.depress( weight, target->get_K_value( t_spike - delay ) );

    e.set_receiver( *target );
    e.set_weight( weight_ );
    e.set_delay_steps( get_delay_steps() );
    e.set_rport( get_rport() );
    e();

    K_plus_ = K_plus_ * std::exp( ( t_last_spike_ - t_spike ) / cp.tau_plus() ) + 1.0;
    t_last_spike_ = t_spike;
    return true;
  }

private:
  double weight_ = 1.0;
  double K_plus_ = 0.0;       //!< trace of presynaptic spikes just after the last one
  double t_last_spike_ = 0.0; //!< time of the last presynaptic spike in ms
};

template < typename targetidentifierT, typename CommonPropertiesT >
constexpr nest::ConnectionModelProperties PairStdpSynapse< targetidentifierT, CommonPropertiesT >::properties;

} // namespace e2l

#endif /* #ifndef PAIR_STDP_SYNAPSE_H */

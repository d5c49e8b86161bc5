/*
 *  usrl_synapse.h
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#ifndef USRL_SYNAPSE_H
#define USRL_SYNAPSE_H

#include "arrival_queue.h"
#include "clock.h"
#include "iaf_psc_exp_escape.h"
#include "nest_headers.h"
#include "slice_propagator.h"

#include <string>
#include <vector>

namespace e2l
{

/* BeginUserDocs: synapse, time-driven plasticity, reward-driven learning

Short description
+++++++++++++++++

Synapse with the eligibility trace of Urbanczik and Senn's reward-driven learning

Description
+++++++++++

``usrl_synapse`` transmits spikes with a fixed weight and keeps an eligibility trace :math:`E`: how
much the spikes of the postsynaptic neuron, beyond what its potential made expect, coincide with
the influence of this synapse [1]_. In every simulation step :math:`h`,

.. math::

   E \leftarrow E \, e^{-h / \tau_M} + ( 1 - e^{-h / \tau_M} ) \, \frac{10^9}{\delta} \,
     \text{PSP} \, \left( s - h \, \rho \, e^{( u - \Theta ) / \delta} \right) ,

where

* :math:`\text{PSP}` is the presynaptic spike train, filtered as the postsynaptic neuron would filter
  it through a synapse of unit weight (in mV),
* :math:`s` is 1 if the postsynaptic neuron spikes in this step, else 0, and
* :math:`u` is its membrane potential in mV, before any reset; :math:`h` is in ms and :math:`\rho` in
  Hz, as in the original model of this name [2]_.

The weight is changed from outside, when the reward is known: read ``E``, set ``weight``. The
constants belong to the synapse and do not follow the parameters of the neuron.

The trace is integrated slice by slice (a slice is the minimal delay of the network), clocked by a
``volume_transmitter``. Create it **after** the postsynaptic neurons, with its default
``deliver_interval``, and set it as the property ``volume_transmitter`` by :py:func:`.SetDefaults` or
:py:func:`.CopyModel` before connecting. It needs no connections.

The postsynaptic neuron must be an ``iaf_psc_exp_escape`` (or a copy of this model). The model
``usrl_trial_synapse`` computes the same trace only where it is needed, at the end of a trial, and
changes its weight there.

Parameters
++++++++++

====================== ======== ====================================================================
**Common properties**
----------------------------------------------------------------------------------------------------
``tau_M``              500 ms   Time constant of the eligibility trace
``tau``                2 ms     Time constant of the synaptic current in the filter of spikes
``Tau``                10 ms    Membrane time constant in the filter of spikes
``C``                  250 pF   Capacitance of the membrane in the filter of spikes
``Theta``              -55 mV   Threshold in the expected rate of spikes
``rho``                0.01 Hz  Expected rate of spikes at threshold
``delta``              5 mV     Width of the threshold region in the expected rate of spikes
``volume_transmitter`` none     NodeCollection with the node that clocks the integration
====================== ======== ====================================================================

The common properties can only be set by :py:func:`.SetDefaults` and :py:func:`.CopyModel` and apply
to all synapses of the model.

====================== ======== ====================================================================
**Individual properties**
----------------------------------------------------------------------------------------------------
``weight``             1 pA     Weight
``delay``              1 ms     Delay
``E``                  0        Eligibility trace at the end of the last slice, read only
``PSP``                0 mV     Filtered presynaptic spike train at the same time, read only
====================== ======== ====================================================================

Transmits
+++++++++

SpikeEvent

References
++++++++++

.. [1] Urbanczik R, Senn W (2009). Reinforcement learning in populations of spiking neurons. Nature
       Neuroscience 12:250-252. DOI: https://doi.org/10.1038/nn.2264
.. [2] Jordan J, Schmidt M, Senn W, Petrovici MA (2021). Evolving interpretable plasticity for
       spiking networks. eLife 10:e66273. DOI: https://doi.org/10.7554/eLife.66273

See also
++++++++

usrl_trial_synapse, us_sympy_synapse, iaf_psc_exp_escape, volume_transmitter

EndUserDocs */

void register_usrl_synapse( const std::string& name );

/**
 * State of one synapse.
 */
struct UsrlState
{
  double weight_ = 1.0;        //!< weight in pA
  double E_ = 0.0;             //!< eligibility trace
  double psp_ = 0.0;           //!< filtered spike train in mV
  double psc_ = 0.0;           //!< synaptic current of the filter in pA
  long integrated_until_ = -1; //!< step up to which the trace was integrated, -1: never
  ArrivalQueue arrivals_;      //!< presynaptic spikes that lie ahead
};

/**
 * Properties that all synapses of a model share.
 */
class UsrlCommonProperties : public nest::CommonSynapseProperties
{
public:
  void get_status( Dictionary& ) const;
  void set_status( const Dictionary&, nest::ConnectorModel& );

  long
  get_vt_node_id() const
  {
    return clock_.node_id();
  }

  /**
   * Check that a synapse of this model can project to `target`.
   *
   * @throws nest::IllegalConnection, nest::BadProperty
   */
  void check_target( const nest::Node& target ) const;

  /**
   * Integrate the trace over the current slice, which `target` has just been through.
   */
  void integrate_slice( UsrlState&, iaf_psc_exp_escape& target ) const;

private:
  struct Parameters_
  {
    double tau_M_ = 500.0; //!< time constant of the trace in ms
    double tau_ = 2.0;     //!< time constant of the synaptic current in ms
    double Tau_ = 10.0;    //!< membrane time constant in ms
    double C_ = 250.0;     //!< capacitance in pF
    double Theta_ = -55.0; //!< threshold in mV
    double rho_ = 0.01;    //!< rate of spikes at threshold in Hz
    double delta_ = 5.0;   //!< width of the threshold region in mV
  };

  /**
   * What depends on the parameters, the resolution and the length of a slice.
   *
   * NEST has no hook that is called for common properties before each simulation, so it is
   * computed when it is first needed. Each thread has its own common properties.
   */
  struct Variables_
  {
    double h_ = 0.0;   //!< resolution in ms for which the following were computed
    long n_steps_ = 0; //!< steps of a slice for which the following were computed
    SlicePropagator propagator_;
    double decay_ = 0.0;         //!< factor by which the trace decays in a slice
    std::vector< double > to_E_; //!< contribution of each step of a slice to the trace at its end

    //! The neuron and the slice that `surprise_` is about: synapses of one neuron share it.
    const nest::Node* target_ = nullptr;
    long slice_end_ = -1;
    std::vector< double > surprise_; //!< to_E_ times spikes less expected spikes, in each step

    std::vector< Arrival > arriving_;
    std::vector< double > psp_; //!< filtered spike train in each step
  };

  void calibrate_( const double h, const long n_steps ) const;
  void compare_spikes_with_potential_( iaf_psc_exp_escape& target, const long begin, const long end ) const;

  Parameters_ P_;
  Clock clock_;
  mutable Variables_ V_;
};

template < typename targetidentifierT >
class usrl_synapse : public nest::Connection< targetidentifierT >
{
public:
  typedef UsrlCommonProperties CommonPropertiesType;
  typedef nest::Connection< targetidentifierT > ConnectionBase;

  static constexpr nest::ConnectionModelProperties properties =
    nest::ConnectionModelProperties::HAS_DELAY | nest::ConnectionModelProperties::IS_PRIMARY;

  using ConnectionBase::get_delay;
  using ConnectionBase::get_delay_steps;
  using ConnectionBase::get_rport;
  using ConnectionBase::get_target;

  void
  get_status( Dictionary& d ) const
  {
    ConnectionBase::get_status( d );
    d[ nest::names::weight ] = state_.weight_;
    d[ "E" ] = state_.E_;
    d[ "PSP" ] = state_.psp_;
    d[ nest::names::size_of ] = static_cast< long >( sizeof( *this ) );
  }

  void
  set_status( const Dictionary& d, nest::ConnectorModel& cm )
  {
    ConnectionBase::set_status( d, cm );
    d.update_value( nest::names::weight, state_.weight_ );
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
  check_connection( nest::Node& source, nest::Node& target, size_t receptor_type, const CommonPropertiesType& cp )
  {
    cp.check_target( target );
    ConnTestDummyNode dummy_target;
    ConnectionBase::check_connection_( dummy_target, source, target, receptor_type );
    // The neuron keeps its spikes for those who say that they will read them.
    target.register_stdp_connection( nest::kernel().simulation_manager.get_time().get_ms(), get_delay() );
  }

  bool
  send( nest::Event& e, const size_t tid, const CommonPropertiesType& )
  {
    state_.arrivals_.add( e.get_stamp().get_steps() + get_delay_steps() - 1, 1.0 );

    e.set_receiver( *get_target( tid ) );
    e.set_weight( state_.weight_ );
    e.set_delay_steps( get_delay_steps() );
    e.set_rport( get_rport() );
    e();
    return true;
  }

  void
  trigger_update_weight( const size_t tid,
    const std::vector< nest::spikecounter >&,
    const double,
    const CommonPropertiesType& cp )
  {
    cp.integrate_slice( state_, *static_cast< iaf_psc_exp_escape* >( get_target( tid ) ) );
  }

  void
  set_weight( const double weight )
  {
    state_.weight_ = weight;
  }

private:
  UsrlState state_;
};

template < typename targetidentifierT >
constexpr nest::ConnectionModelProperties usrl_synapse< targetidentifierT >::properties;

} // namespace e2l

#endif /* #ifndef USRL_SYNAPSE_H */

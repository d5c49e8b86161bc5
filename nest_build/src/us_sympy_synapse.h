/*
 *  us_sympy_synapse.h
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#ifndef US_SYMPY_SYNAPSE_H
#define US_SYMPY_SYNAPSE_H

#include "arrival_queue.h"
#include "iaf_psc_exp_escape.h"
#include "nest_headers.h"
#include "rule_registry.h"
#include "slice_propagator.h"

#include <string>
#include <vector>

namespace e2l
{

/* BeginUserDocs: synapse, time-driven plasticity, error-driven learning

Short description
+++++++++++++++++

Synapse whose weight follows an arbitrary plasticity rule, integrated in every time step

Description
+++++++++++

``us_sympy_synapse`` changes its weight in every simulation step :math:`h` according to a rule
:math:`f` that is given as text,

.. math::

   I \leftarrow I \, e^{-h / \tau_I} + ( 1 - e^{-h / \tau_I} ) \, f( v, u, s ) , \qquad
   w \leftarrow w + \eta \, I \, h ,

where

* ``v`` (also ``x_0``) is the target potential of the postsynaptic neuron in mV,
* ``u`` (also ``x_1``) is its membrane potential in mV and
* ``s`` (also ``x_2``) is the presynaptic spike train, filtered as the postsynaptic neuron would
  filter it through a synapse of unit weight (in mV).

With ``expr`` = ``"(v - u)*s"`` this is the rule of Urbanczik and Senn [1]_ for a linear neuron; a
model of this name was first used in [2]_. Rules can contain numbers, ``+``, ``-``, ``*``, ``/``,
``**`` and parentheses. They are compiled to machine code when they are set; an expression that
cannot be compiled raises ``BadProperty`` and leaves the model as it was.

The rule is integrated slice by slice (a slice is the minimal delay of the network): all spikes of a
slice are transmitted with the weight that the synapse had at the beginning of that slice. A
``volume_transmitter`` clocks the integration. Create it **after** the postsynaptic neurons, with its
default ``deliver_interval``, and set it as the property ``volume_transmitter`` by
:py:func:`.SetDefaults` or :py:func:`.CopyModel` before connecting. It needs no connections.

The postsynaptic neuron must be an ``iaf_psc_exp_escape`` (or a copy of this model). Where a rule
lets weights grow beyond all bounds, they become infinite or NaN; this is not an error.

Parameters
++++++++++

====================== ======== ====================================================================
**Common properties**
----------------------------------------------------------------------------------------------------
``expr``               "0.0"    Plasticity rule, the change of weight
``eta``                1e-3     Learning rate in pA per ms and unit of the rule
``tau_I``              500 ms   Time constant of the low-pass filter of the rule
``tau``                2 ms     Time constant of the synaptic current in the filter of spikes
``Tau``                10 ms    Membrane time constant in the filter of spikes
``C``                  250 pF   Capacitance of the membrane in the filter of spikes
``rho``                0.01 Hz  Not used: accepted for scripts of the original model of this name
``delta``              5 mV     Not used, like ``rho``
``volume_transmitter`` none     NodeCollection with the node that clocks the integration
====================== ======== ====================================================================

The common properties can only be set by :py:func:`.SetDefaults` and :py:func:`.CopyModel` and apply
to all synapses of the model.

====================== ======== ====================================================================
**Individual properties**
----------------------------------------------------------------------------------------------------
``weight``             1 pA     Weight; reading it gives the value at the end of the last slice
``delay``              1 ms     Delay
``PSP``                0 mV     Filtered presynaptic spike train s
``PSC``                0 pA     Synaptic current in the filter of spikes
``I``                  0        Low-pass filtered rule
====================== ======== ====================================================================

Transmits
+++++++++

SpikeEvent

References
++++++++++

.. [1] Urbanczik R, Senn W (2014). Learning by the dendritic prediction of somatic spiking. Neuron
       81:521-528. DOI: https://doi.org/10.1016/j.neuron.2013.11.030
.. [2] Jordan J, Schmidt M, Senn W, Petrovici MA (2021). Evolving interpretable plasticity for
       spiking networks. eLife 10:e66273. DOI: https://doi.org/10.7554/eLife.66273

See also
++++++++

iaf_psc_exp_escape, volume_transmitter, stdp_dopamine_synapse

EndUserDocs */

void register_us_sympy_synapse( const std::string& name );

/**
 * State of one synapse.
 */
struct UsSympyState
{
  double weight_ = 1.0;                //!< weight in pA
  double weight_at_slice_begin_ = 1.0; //!< weight in pA with which the spikes of the slice are sent
  double psp_ = 0.0;                   //!< filtered spike train in mV
  double psc_ = 0.0;                   //!< synaptic current of the filter in pA
  double I_ = 0.0;                     //!< low-pass filtered rule
  long integrated_until_ = -1;         //!< step up to which the rule was integrated, -1: never
  ArrivalQueue arrivals_;              //!< presynaptic spikes that lie ahead
};

/**
 * Properties that all synapses of a model share: the rule and its constants.
 */
class UsSympyCommonProperties : public nest::CommonSynapseProperties
{
public:
  UsSympyCommonProperties();

  void get_status( Dictionary& ) const;
  void set_status( const Dictionary&, nest::ConnectorModel& );

  long
  get_vt_node_id() const
  {
    return volume_transmitter_ ? static_cast< long >( volume_transmitter_->get_node_id() ) : -1;
  }

  /**
   * Check that a synapse of this model can project to `target`.
   *
   * @throws nest::IllegalConnection, nest::BadProperty
   */
  void check_target( nest::Node& target ) const;

  /**
   * Integrate the rule over the current slice, which `target` has just been through.
   */
  void integrate_slice( UsSympyState&, const iaf_psc_exp_escape& target ) const;

private:
  struct Parameters_
  {
    std::string expr_ = "0.0";
    double eta_ = 1e-3;    //!< learning rate
    double tau_I_ = 500.0; //!< time constant of the low-pass filter in ms
    double tau_ = 2.0;     //!< time constant of the synaptic current in ms
    double Tau_ = 10.0;    //!< membrane time constant in ms
    double C_ = 250.0;     //!< capacitance in pF
    double rho_ = 0.01;    //!< not used
    double delta_ = 5.0;   //!< not used
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
    double decay_ = 0.0;             //!< factor by which I decays in a slice
    double decay_sum_ = 0.0;         //!< sum of the factors by which I has decayed after each step
    std::vector< double > to_I_;     //!< contribution of the rule in each step to I at the end
    std::vector< double > to_I_sum_; //!< contribution of the rule in each step to the sum of I

    std::vector< Arrival > arriving_;
    std::vector< double > s_;       //!< filtered spike train in each step
    std::vector< double > delta_w_; //!< value of the rule in each step
  };

  void calibrate_( const double h, const long n_steps ) const;

  Parameters_ P_;
  nest::volume_transmitter* volume_transmitter_ = nullptr;
  RulePtr rule_;
  mutable Variables_ V_;
};

template < typename targetidentifierT >
class us_sympy_synapse : public nest::Connection< targetidentifierT >
{
public:
  typedef UsSympyCommonProperties CommonPropertiesType;
  typedef nest::Connection< targetidentifierT > ConnectionBase;

  static constexpr nest::ConnectionModelProperties properties =
    nest::ConnectionModelProperties::HAS_DELAY | nest::ConnectionModelProperties::IS_PRIMARY;

  using ConnectionBase::get_delay_steps;
  using ConnectionBase::get_rport;
  using ConnectionBase::get_target;

  void
  get_status( Dictionary& d ) const
  {
    ConnectionBase::get_status( d );
    d[ nest::names::weight ] = state_.weight_;
    d[ "PSP" ] = state_.psp_;
    d[ "PSC" ] = state_.psc_;
    d[ "I" ] = state_.I_;
    d[ nest::names::size_of ] = static_cast< long >( sizeof( *this ) );
  }

  void
  set_status( const Dictionary& d, nest::ConnectorModel& cm )
  {
    ConnectionBase::set_status( d, cm );
    double weight;
    if ( d.update_value( nest::names::weight, weight ) )
    {
      set_weight( weight );
    }
    d.update_value( "PSP", state_.psp_ );
    d.update_value( "PSC", state_.psc_ );
    d.update_value( "I", state_.I_ );
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
  }

  bool
  send( nest::Event& e, const size_t tid, const CommonPropertiesType& )
  {
    state_.arrivals_.add( e.get_stamp().get_steps() + get_delay_steps() - 1, 1.0 );

    e.set_receiver( *get_target( tid ) );
    e.set_weight( state_.weight_at_slice_begin_ );
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
    cp.integrate_slice( state_, *static_cast< const iaf_psc_exp_escape* >( get_target( tid ) ) );
  }

  void
  set_weight( const double weight )
  {
    state_.weight_ = state_.weight_at_slice_begin_ = weight;
  }

private:
  UsSympyState state_;
};

template < typename targetidentifierT >
constexpr nest::ConnectionModelProperties us_sympy_synapse< targetidentifierT >::properties;

} // namespace e2l

#endif /* #ifndef US_SYMPY_SYNAPSE_H */

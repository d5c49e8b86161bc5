/*
 *  usrl_trial_synapse.h
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#ifndef USRL_TRIAL_SYNAPSE_H
#define USRL_TRIAL_SYNAPSE_H

#include "clock.h"
#include "nest_headers.h"
#include "rule_registry.h"
#include "usrl_trial_neuron.h"

#include <string>
#include <vector>

namespace e2l
{

/* BeginUserDocs: synapse, reward-driven learning

Short description
+++++++++++++++++

Synapse whose weight follows an arbitrary rule of reward and eligibility trace at the end of trials

Description
+++++++++++

At the end of each trial of its postsynaptic neuron, a ``usrl_trial_neuron``, ``usrl_trial_synapse``
changes its weight according to a rule :math:`f` that is given as text,

.. math::

   w \leftarrow w + \eta \, f( R, E ) ,

where

* ``R`` (also ``x_0``) is the reward of the trial, +1 or -1, and
* ``E`` (also ``x_1``) is the eligibility trace of the synapse at the end of the trial, as that of
  a ``usrl_synapse`` which begins at zero in each trial.

With ``expr`` = ``"E*(R - 1)"`` this is the rule of Urbanczik and Senn [1]_. Rules can contain numbers,
``+``, ``-``, ``*``, ``/``, ``**`` and parentheses. They are compiled to machine code when they are
set; an expression that cannot be compiled raises ``BadProperty`` and leaves the model as it was.

A weight that is no longer finite is kept; the neuron stops and reports it as ``failed_trial``.

A ``volume_transmitter`` tells the synapses when a trial may have ended. Create it **after** the
postsynaptic neurons and set it as the property ``volume_transmitter`` by :py:func:`.SetDefaults` or
:py:func:`.CopyModel` before connecting. Trials must end where it delivers, that is at multiples of
``deliver_interval`` times the minimal delay.

Parameters
++++++++++

====================== ======== ====================================================================
**Common properties**
----------------------------------------------------------------------------------------------------
``expr``               "0.0"    Plasticity rule, the change of weight
``eta``                10       Learning rate in pA per unit of the rule
``volume_transmitter`` none     NodeCollection with the node that ends trials
====================== ======== ====================================================================

The common properties can only be set by :py:func:`.SetDefaults` and :py:func:`.CopyModel` and apply
to all synapses of the model.

====================== ======== ====================================================================
**Individual properties**
----------------------------------------------------------------------------------------------------
``weight``             1 pA     Weight
``delay``              1 ms     Delay
``E``                  0        Eligibility trace at the end of the last trial, read only
====================== ======== ====================================================================

Transmits
+++++++++

SpikeEvent

References
++++++++++

.. [1] Urbanczik R, Senn W (2009). Reinforcement learning in populations of spiking neurons. Nature
       Neuroscience 12:250-252. DOI: https://doi.org/10.1038/nn.2264

See also
++++++++

usrl_trial_neuron, usrl_synapse, volume_transmitter

EndUserDocs */

void register_usrl_trial_synapse( const std::string& name );

/**
 * State of one synapse.
 */
struct UsrlTrialState
{
  double weight_ = 1.0;          //!< weight in pA
  double E_ = 0.0;               //!< eligibility trace at the end of the last trial
  long n_trials_learnt_ = 0;     //!< trials of the neuron that the weight knows of
  std::vector< long > arrivals_; //!< steps in which spikes arrive, of this trial and later ones
};

/**
 * Properties that all synapses of a model share: the rule and its learning rate.
 */
class UsrlTrialCommonProperties : public nest::CommonSynapseProperties
{
public:
  UsrlTrialCommonProperties();

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
   * Change the weight for the trial of `target` that has just ended.
   */
  void learn( UsrlTrialState&, usrl_trial_neuron& target ) const;

private:
  std::string expr_ = "0.0";
  double eta_ = 10.0; //!< learning rate
  Clock clock_;
  RulePtr rule_;
};

template < typename targetidentifierT >
class usrl_trial_synapse : public nest::Connection< targetidentifierT >
{
public:
  typedef UsrlTrialCommonProperties CommonPropertiesType;
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
    d[ "E" ] = state_.E_;
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
    state_.n_trials_learnt_ = static_cast< const usrl_trial_neuron& >( target ).n_trials_ended();
  }

  bool
  send( nest::Event& e, const size_t tid, const CommonPropertiesType& )
  {
    state_.arrivals_.push_back( e.get_stamp().get_steps() + get_delay_steps() - 1 );

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
    auto& target = *static_cast< usrl_trial_neuron* >( get_target( tid ) );
    if ( target.n_trials_ended() != state_.n_trials_learnt_ )
    {
      cp.learn( state_, target );
    }
  }

  void
  set_weight( const double weight )
  {
    state_.weight_ = weight;
  }

private:
  UsrlTrialState state_;
};

template < typename targetidentifierT >
constexpr nest::ConnectionModelProperties usrl_trial_synapse< targetidentifierT >::properties;

} // namespace e2l

#endif /* #ifndef USRL_TRIAL_SYNAPSE_H */

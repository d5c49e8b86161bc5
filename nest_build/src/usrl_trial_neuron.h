/*
 *  usrl_trial_neuron.h
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#ifndef USRL_TRIAL_NEURON_H
#define USRL_TRIAL_NEURON_H

#include "arrival_queue.h"
#include "escape_noise.h"
#include "nest_headers.h"
#include "usrl_trial_integrator.h"
#include "usrl_trial_noise.h"

#include <memory>
#include <string>
#include <vector>

namespace e2l
{

/* BeginUserDocs: neuron, integrate-and-fire, current-based, escape noise, reward-driven learning

Short description
+++++++++++++++++

Neuron with escape noise that learns in trials to spike for some inputs and to be silent for others

Description
+++++++++++

``usrl_trial_neuron`` is the output neuron of reward-driven learning [1]_ as simulated in [2]_. It has
the dynamics and the noise of ``iaf_psc_exp_escape``, which is reset after each spike. In addition it
knows about trials: in trial :math:`k` = 0, 1, ..., which lasts from ``first_trial`` + :math:`k`
``trial_duration`` to ``first_trial`` + (:math:`k` + 1) ``trial_duration``, it starts at rest, and at
the end it compares its answer, +1 if it has spiked and -1 if not, with ``target_class`` [:math:`k`].
If they are equal the reward is +1, else -1. Outside of the trials nothing happens.

Synapses of the model ``usrl_trial_synapse`` change their weights at the end of each trial by a rule of
this reward and of their eligibility traces. A synapse of the model ``usrl_synapse`` would compute its
trace in every step. Since the trace is linear in the filtered spike train of the input, its value
at the end of a trial is a sum over arriving spikes of a function of the time of arrival, and
this function is the same for all synapses of a neuron: the neuron computes it once by a recursion that
runs backwards in time. Both ways of computation agree up to rounding. The filters of the trace have the
time constants and the capacitance of the neuron; where the expected number of spikes overflows,
the traces of this trial are NaN.

The random number of a time step is a function of ``noise_seed``, ``noise_trial`` + :math:`k`,
``noise_role`` and the index of the step in the trial only. With ``frozen_noise`` it is that of
:math:`k` = 0 in all trials.

The duration of a trial, and the beginning of the first one, must be multiples of the minimal delay
of the network. Long slices are fast: the weights change between trials only, so nothing is lost
when spikes of inputs are sent earlier, over a delay that is longer by as much.

Parameters
++++++++++

The following parameters can be set in the status dictionary.

====================== =========== ================================================================
**Parameter**          **Default** **Description**
====================== =========== ================================================================
``E_L``                -70 mV      Resting membrane potential
``C_m``                250 pF      Capacitance of the membrane
``tau_m``              10 ms       Membrane time constant
``tau_syn``            2 ms        Time constant of the postsynaptic currents
``V_th``               -55 mV      Threshold
``V_reset``            -70 mV      Reset potential
``t_ref``              2 ms        Refractory time
``rho``                0.01 Hz     Rate of spikes at threshold
``delta``              0.2 mV      Width of the threshold region; 0: spike whenever above threshold
``noise_seed``         0           Seed of the noise
``noise_trial``        0           Second key of the noise in the first trial
``noise_role``         0           Role of the neuron in the network, the third key of the noise
``frozen_noise``       true        The same noise in every trial
``trial_duration``     500 ms      Duration of a trial
``first_trial``        0 ms        Beginning of the first trial
``target_class``       empty       The right answer, +1 or -1, of each trial
``tau_E``              500 ms      Time constant of the eligibility trace
``rho_E``              0.01 Hz     Expected rate of spikes at threshold
``delta_E``            5 mV        Width of the threshold region in the expected rate
``V_th_E``             -55 mV      Threshold in the expected rate
====================== =========== ================================================================

The following can be read.

====================== ============================================================================
``reward``             Reward of each trial that has ended
``failed_trial``       Trial at whose end a weight was no longer finite; -1: none. The neuron does
                       nothing from then on.
``failure``            Why: "rule" if the value of a rule was not finite for a finite trace, else
                       "overflow"; empty if there was no failure
``V_m``                Membrane potential in mV, also recordable
====================== ============================================================================

Sends
+++++

SpikeEvent

Receives
++++++++

SpikeEvent, DataLoggingRequest

References
++++++++++

.. [1] Urbanczik R, Senn W (2009). Reinforcement learning in populations of spiking neurons. Nature
       Neuroscience 12:250-252. DOI: https://doi.org/10.1038/nn.2264
.. [2] Jordan J, Schmidt M, Senn W, Petrovici MA (2021). Evolving interpretable plasticity for
       spiking networks. eLife 10:e66273. DOI: https://doi.org/10.7554/eLife.66273

See also
++++++++

usrl_trial_synapse, usrl_synapse, iaf_psc_exp_escape

EndUserDocs */

void register_usrl_trial_neuron( const std::string& name );

class usrl_trial_neuron : public nest::ArchivingNode
{
public:
  usrl_trial_neuron();
  usrl_trial_neuron( const usrl_trial_neuron& );

  using Node::handle;
  using Node::handles_test_event;

  size_t send_test_event( nest::Node&, size_t, nest::synindex, bool ) override;

  void handle( nest::SpikeEvent& ) override;
  void handle( nest::DataLoggingRequest& ) override;

  size_t handles_test_event( nest::SpikeEvent&, size_t ) override;
  size_t handles_test_event( nest::DataLoggingRequest&, size_t ) override;

  void get_status( Dictionary& ) const override;
  void set_status( const Dictionary& ) override;

  /**
   * @name What plastic synapses read
   * @{
   */

  //! Number of trials that have ended.
  long
  n_trials_ended() const
  {
    return S_.n_trials_ended_;
  }

  //! Beginning and end (exclusively) of the trial that has ended last, as indices of steps.
  long
  trial_begin() const
  {
    return V_.first_trial_step_ + ( S_.n_trials_ended_ - 1 ) * V_.trial_steps_;
  }
  long
  trial_end() const
  {
    return trial_begin() + V_.trial_steps_;
  }

  //! Reward of the trial that has ended last.
  double
  reward() const
  {
    return S_.rewards_.back();
  }

  //! Eligibility trace at the end of the last trial due to a spike that arrived in `step`.
  double eligibility( const long step ) const;

  //! Whether the neuron has stopped because something is no longer finite.
  bool
  has_failed() const
  {
    return S_.failed_trial_ >= 0;
  }

  //! @}

  //! Stop for good: a weight is no longer finite, perhaps because the rule itself is not.
  void fail( const bool is_rule_finite );

private:
  void init_buffers_() override;
  void pre_run_hook() override;
  void update( const nest::Time&, const long, const long ) override;

  //! Evolve from step `begin` of the trial at most until before step `end`. @returns how far
  long evolve_( const long begin, const long end );

  //! Return the first of the `n` steps from `begin` on in which the neuron spikes, else `n`.
  long find_spike_( const long begin, const long n, const double u_max );

  void begin_trial_();
  void end_trial_();

  //! Answer the multimeters for `n` steps, of which the first `n_free` ones end with V_m unclamped.
  void record_( const long begin, const long n, const long n_free );

  bool
  is_in_trial_() const
  {
    return S_.n_trials_ended_ < static_cast< long >( P_.target_class_.size() ) and not has_failed();
  }

  friend class nest::RecordablesMap< usrl_trial_neuron >;
  friend class nest::UniversalDataLogger< usrl_trial_neuron >;

  struct Parameters_
  {
    double E_L_ = -70.0;       //!< resting potential in mV
    double C_m_ = 250.0;       //!< capacitance in pF
    double tau_m_ = 10.0;      //!< membrane time constant in ms
    double tau_syn_ = 2.0;     //!< synaptic time constant in ms
    double V_th_ = -55.0;      //!< threshold in mV
    double V_reset_ = -70.0;   //!< reset potential in mV
    double t_ref_ = 2.0;       //!< refractory time in ms
    double rho_ = 0.01;        //!< rate at threshold in Hz
    double delta_ = 0.2;       //!< width of the threshold region in mV
    long noise_seed_ = 0;      //!< first key of the noise
    long noise_trial_ = 0;     //!< second key of the noise
    long noise_role_ = 0;      //!< third key of the noise
    bool frozen_noise_ = true; //!< the same noise in every trial
    double trial_duration_ = 500.0;
    double first_trial_ = 0.0;
    std::vector< double > target_class_;
    double tau_E_ = 500.0;  //!< time constant of the trace in ms
    double rho_E_ = 0.01;   //!< expected rate at threshold in Hz
    double delta_E_ = 5.0;  //!< width of the threshold region in mV
    double V_th_E_ = -55.0; //!< threshold of the expected rate in mV

    void get( Dictionary& ) const;
    void set( const Dictionary& );
  };

  struct State_
  {
    double V_ = 0.0;     //!< membrane potential relative to E_L, in mV
    double I_syn_ = 0.0; //!< sum of the postsynaptic currents in pA
    long r_ref_ = 0;     //!< steps until the end of the refractory time
    long n_trials_ended_ = 0;
    long failed_trial_ = -1;
    bool is_rule_finite_ = true;    //!< no synapse has failed because of its rule
    bool has_spiked_ = false;       //!< in this trial
    bool has_overflown_ = false;    //!< expected spikes in this trial
    std::vector< double > rewards_; //!< of each trial that has ended
  };

  //! What is the same for all spikes that arrive in one step of a trial.
  struct TrialArrival
  {
    long step;          //!< index of the step
    std::size_t chunks; //!< number of chunks of the trial until the end of that step
    double G;           //!< contribution to the trace at the end of the trial
  };

  struct Buffers_
  {
    explicit Buffers_( usrl_trial_neuron& );

    ArrivalQueue spikes_;                          //!< weights of spikes that lie ahead, in pA
    std::vector< Arrival > arriving_;              //!< what arrives in the current slice
    std::vector< TrialIntegrator::Chunk > chunks_; //!< the trial so far
    std::vector< TrialArrival > arrivals_;         //!< spikes that have arrived in the trial
    double recorded_V_m_ = 0.0;                    //!< what multimeters read
    bool is_recorded_ = false;
    nest::UniversalDataLogger< usrl_trial_neuron > logger_;
  };

  struct Variables_
  {
    TrialIntegrator integrator_;
    EscapeNoise noise_;
    std::shared_ptr< const TrialNoise > noise_bounds_;
    bool is_silent_ = false;       //!< the neuron never spikes
    double step_in_seconds_ = 0.0; //!< length of a step in s: rates are in Hz
    long refractory_steps_ = 0;
    long trial_steps_ = 0;
    long first_trial_step_ = 0;
  };

  double
  get_V_m_() const
  {
    return B_.recorded_V_m_;
  }

  Parameters_ P_;
  State_ S_;
  Variables_ V_;
  Buffers_ B_;

  static nest::RecordablesMap< usrl_trial_neuron > recordablesMap_;
};

inline size_t
usrl_trial_neuron::send_test_event( nest::Node& target, size_t receptor_type, nest::synindex, bool )
{
  nest::SpikeEvent e;
  e.set_sender( *this );
  return target.handles_test_event( e, receptor_type );
}

inline size_t
usrl_trial_neuron::handles_test_event( nest::SpikeEvent&, size_t receptor_type )
{
  if ( receptor_type != 0 )
  {
    throw nest::UnknownReceptorType( receptor_type, get_name() );
  }
  return 0;
}

} // namespace e2l

#endif /* #ifndef USRL_TRIAL_NEURON_H */

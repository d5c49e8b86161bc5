/*
 *  iaf_psc_exp_escape.h
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#ifndef IAF_PSC_EXP_ESCAPE_H
#define IAF_PSC_EXP_ESCAPE_H

#include "arrival_queue.h"
#include "escape_noise.h"
#include "nest_headers.h"
#include "slice_propagator.h"

#include <string>
#include <vector>

namespace e2l
{

/* BeginUserDocs: neuron, integrate-and-fire, current-based, escape noise

Short description
+++++++++++++++++

Leaky integrate-and-fire neuron with exponential currents, escape noise and a target potential

Description
+++++++++++

``iaf_psc_exp_escape`` is a current-based leaky integrate-and-fire neuron with exponential
postsynaptic currents as ``iaf_psc_exp``,

.. math::

   \frac{dV_\text{m}}{dt} = -\frac{V_\text{m} - E_\text{L}}{\tau_\text{m}}
     + \frac{I_\text{syn} + I_\text{e}}{C_\text{m}} , \qquad
   \frac{dI_\text{syn}}{dt} = -\frac{I_\text{syn}}{\tau_\text{syn}}
     + \sum_{j, k} w_j \, \delta( t - t_j^k - d_j ) ,

integrated exactly on the time grid [1]_. It spikes with the instantaneous rate

.. math::

   \phi( V_\text{m} ) = \rho \exp \left( \frac{V_\text{m} - V_\text{th}}{\delta} \right)

(escape noise), that is with probability :math:`\phi( V_\text{m} ) h` in a time step of length
:math:`h`. With ``delta`` = 0 it spikes in every step in which :math:`V_\text{m} \geq V_\text{th}`;
with ``rho`` = 0 and ``delta`` > 0 it never spikes. After a spike the potential is reset and clamped
to ``V_reset`` for the refractory time, unless ``reset_after_spike`` is false; then spikes leave the
potential alone. There are no spikes during the refractory time.

The neuron differs from ``iaf_psc_exp`` in what it offers to plasticity:

* **Per-slice potential.** The potential of all time steps of the current slice (an interval of the
  minimal delay of the network) is kept, before any reset, and synapses with time-driven plasticity
  such as ``us_sympy_synapse`` read it.
* **Held target potential.** A teacher of the same model, connected by ``rate_connection_delayed``,
  sends its potential. The neuron takes its potential (times the weight of the connection) after
  each simulation step whose index is a multiple of ``target_interval``, and holds it as
  ``u_target`` until the next one. A target applies to the whole slice in which it arrives. Without
  a teacher, ``u_target`` is what it was set to.
* **Reproducible noise.** The random number of a time step is a function of ``noise_seed``,
  ``noise_trial``, ``noise_role`` and the index of the step only, by a counter-based generator [2]_.
  The spikes of a neuron thus do not depend on which other neurons there are, on the number of
  threads or on the seed of the kernel. Two neurons with the same three numbers have the same noise.

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
``I_e``                0 pA        Constant input current
``V_th``               -55 mV      Threshold
``V_reset``            -70 mV      Reset potential
``t_ref``              2 ms        Refractory time
``reset_after_spike``  true        Reset the potential after a spike
``rho``                0.01 Hz     Rate of spikes at threshold
``delta``              5 mV        Width of the threshold region
``noise_seed``         0           Seed of the noise
``noise_trial``        0           Trial, the second key of the noise
``noise_role``         0           Role of the neuron in the network, the third key of the noise
``target_interval``    5 ms        Interval at which the teacher's potential is taken
``hide_sampling_step`` false       Show plastic synapses ``E_L`` instead of the potential in each
                                   time step in which a target is taken. Reproduces simulations
                                   that were interrupted in these steps.
``trace_interval``     0 ms        Interval at which the potential is written to ``V_m_trace``; 0:
                                   never
====================== =========== ================================================================

The following state variables are neuron properties; the first three can be recorded.

================== ================= ===================================================================
**State variable** **Initial value** **Description**
================== ================= ===================================================================
``V_m``            -70 mV            Membrane potential
``I_syn``          0 pA              Sum of the currents
``u_target``       -70 mV            Target potential
``V_m_trace``      []                Membrane potentials after 1, 2, ... times ``trace_interval``; what
                                     a multimeter records, without the cost of one. There only if
                                     ``trace_interval`` > 0
``n_trace``        0                 Number of these; set it to 0 to forget them
================== ================= ===================================================================

Sends
+++++

SpikeEvent, DelayedRateConnectionEvent

Receives
++++++++

SpikeEvent, DelayedRateConnectionEvent, DataLoggingRequest

References
++++++++++

.. [1] Rotter S, Diesmann M (1999). Exact simulation of time-invariant linear systems with
       applications to neuronal modeling. Biological Cybernetics 81:381-402.
       DOI: https://doi.org/10.1007/s004220050570
.. [2] Salmon JK, Moraes MA, Dror RO, Shaw DE (2011). Parallel random numbers: as easy as 1, 2, 3.
       Proceedings of SC11. DOI: https://doi.org/10.1145/2063384.2063405

See also
++++++++

iaf_psc_exp, us_sympy_synapse, rate_connection_delayed

EndUserDocs */

void register_iaf_psc_exp_escape( const std::string& name );

class iaf_psc_exp_escape : public nest::ArchivingNode
{
public:
  iaf_psc_exp_escape();
  iaf_psc_exp_escape( const iaf_psc_exp_escape& );

  using Node::handle;
  using Node::handles_test_event;
  using Node::sends_secondary_event;

  size_t send_test_event( nest::Node&, size_t, nest::synindex, bool ) override;

  void handle( nest::SpikeEvent& ) override;
  void handle( nest::DelayedRateConnectionEvent& ) override;
  void handle( nest::DataLoggingRequest& ) override;

  size_t handles_test_event( nest::SpikeEvent&, size_t ) override;
  size_t handles_test_event( nest::DelayedRateConnectionEvent&, size_t ) override;
  size_t handles_test_event( nest::DataLoggingRequest&, size_t ) override;

  void
  sends_secondary_event( nest::DelayedRateConnectionEvent& ) override
  {
  }

  void get_status( Dictionary& ) const override;
  void set_status( const Dictionary& ) override;

  /**
   * @name What plastic synapses read
   * @{
   */

  //! Potential in mV after each step of the current slice, before any reset.
  const double*
  slice_potential() const
  {
    return B_.hidden_step_ < 0 ? B_.u_.data() : B_.u_shown_.data();
  }

  //! Target potential in mV that applies to the current slice.
  double
  target_potential() const
  {
    return S_.u_target_;
  }

  //! Index of the step up to which (exclusively) the neuron was updated.
  long
  updated_until() const
  {
    return B_.updated_until_;
  }

  //! @}

private:
  void init_buffers_() override;
  void pre_run_hook() override;
  void update( const nest::Time&, const long, const long ) override;

  //! Take the target that arrives in the slice, if there is one.
  void take_target_( const long slice_begin );

  /**
   * Evolve from step `begin` of the slice until before step `end`, between which no spikes arrive.
   * Ends early after a spike that resets the potential.
   *
   * @returns step up to which (exclusively) the neuron was evolved
   */
  long evolve_( const long slice_begin, const long begin, const long end );

  //! Return the first step in [begin, end) of the slice in which the neuron spikes, else `end`.
  long find_spike_( const long slice_begin, const long begin, const long end );

  //! Emit a spike in step `lag` of the slice.
  void spike_( const long slice_begin, const long lag );

  //! Answer the multimeters for steps [begin, end) of the slice; `I_syn` is the current before them.
  void record_( const long slice_begin, const long begin, const long end, const double I_syn );

  //! Write the potential of the steps [begin, end) of the slice to the trace where its interval ends.
  void trace_( const long slice_begin, const long begin, const long end );

  //! Return the first step at or after `begin` of the slice at whose end a multiple of `step` steps is over.
  static long
  first_multiple_( const long slice_begin, const long begin, const long step )
  {
    return ( slice_begin + begin + step ) / step * step - 1 - slice_begin;
  }

  friend class nest::RecordablesMap< iaf_psc_exp_escape >;
  friend class nest::UniversalDataLogger< iaf_psc_exp_escape >;

  struct Parameters_
  {
    double E_L_ = -70.0;            //!< resting potential in mV
    double C_m_ = 250.0;            //!< capacitance in pF
    double tau_m_ = 10.0;           //!< membrane time constant in ms
    double tau_syn_ = 2.0;          //!< synaptic time constant in ms
    double I_e_ = 0.0;              //!< constant input current in pA
    double V_th_ = -55.0;           //!< threshold in mV
    double V_reset_ = -70.0;        //!< reset potential in mV
    double t_ref_ = 2.0;            //!< refractory time in ms
    bool reset_after_spike_ = true; //!< reset the potential after a spike
    double rho_ = 0.01;             //!< rate at threshold in Hz
    double delta_ = 5.0;            //!< width of the threshold region in mV
    long noise_seed_ = 0;           //!< first key of the noise
    long noise_trial_ = 0;          //!< second key of the noise
    long noise_role_ = 0;           //!< third key of the noise
    double target_interval_ = 5.0;  //!< interval at which a target is taken, in ms
    bool hide_sampling_step_ = false;
    double trace_interval_ = 0.0; //!< interval of the trace in ms, 0: no trace

    void get( Dictionary& ) const;

    //! Set values from dictionary. @returns change of E_L in mV
    double set( const Dictionary& );
  };

  struct State_
  {
    double V_ = 0.0;          //!< membrane potential relative to E_L, in mV
    double I_syn_ = 0.0;      //!< sum of the postsynaptic currents in pA
    double u_target_ = -70.0; //!< target potential in mV
    long r_ref_ = 0;          //!< steps until the end of the refractory time

    void get( Dictionary&, const Parameters_& ) const;
    void set( const Dictionary&, const Parameters_&, const double delta_E_L );
  };

  struct Buffers_
  {
    explicit Buffers_( iaf_psc_exp_escape& );

    ArrivalQueue spikes_;             //!< weights of spikes that lie ahead, in pA
    ArrivalQueue targets_;            //!< potentials of the teacher that lie ahead, in mV
    std::vector< Arrival > arriving_; //!< what arrives in the current slice
    std::vector< double > u_;         //!< potential in each step of the slice, in mV
    std::vector< double > u_shown_;   //!< the same with the hidden step
    long hidden_step_ = -1;           //!< step of the slice that is hidden from synapses, -1: none
    long updated_until_ = 0;

    std::vector< double > trace_; //!< potentials in mV at multiples of the trace interval

    // What multimeters read: the state after the step that is being recorded.
    double recorded_V_m_ = 0.0;
    double recorded_I_syn_ = 0.0;

    //! Intervals and offsets in ms at which multimeters record.
    std::vector< double > recording_times_;
    nest::UniversalDataLogger< iaf_psc_exp_escape > logger_;
  };

  struct Variables_
  {
    SlicePropagator propagator_;
    EscapeNoise noise_;
    bool is_silent_ = false;       //!< the neuron never spikes
    double step_in_seconds_ = 0.0; //!< length of a step in s: rates are in Hz
    long refractory_steps_ = 0;
    long target_interval_steps_ = 1;
    long trace_steps_ = 0;     //!< interval of the trace, 0: no trace
    long recording_steps_ = 0; //!< common divisor of all recording times, 0: no multimeter
  };

  double
  get_V_m_() const
  {
    return B_.recorded_V_m_;
  }

  double
  get_I_syn_() const
  {
    return B_.recorded_I_syn_;
  }

  double
  get_u_target_() const
  {
    return S_.u_target_;
  }

  Parameters_ P_;
  State_ S_;
  Variables_ V_;
  Buffers_ B_;

  static nest::RecordablesMap< iaf_psc_exp_escape > recordablesMap_;
};

inline size_t
iaf_psc_exp_escape::send_test_event( nest::Node& target, size_t receptor_type, nest::synindex, bool )
{
  nest::SpikeEvent e;
  e.set_sender( *this );
  return target.handles_test_event( e, receptor_type );
}

inline size_t
iaf_psc_exp_escape::handles_test_event( nest::SpikeEvent&, size_t receptor_type )
{
  if ( receptor_type != 0 )
  {
    throw nest::UnknownReceptorType( receptor_type, get_name() );
  }
  return 0;
}

inline size_t
iaf_psc_exp_escape::handles_test_event( nest::DelayedRateConnectionEvent&, size_t receptor_type )
{
  if ( receptor_type != 0 )
  {
    throw nest::UnknownReceptorType( receptor_type, get_name() );
  }
  return 0;
}

} // namespace e2l

#endif /* #ifndef IAF_PSC_EXP_ESCAPE_H */

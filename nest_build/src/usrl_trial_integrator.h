/*
 *  usrl_trial_integrator.h
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#ifndef USRL_TRIAL_INTEGRATOR_H
#define USRL_TRIAL_INTEGRATOR_H

#include <array>
#include <vector>

namespace e2l
{

/**
 * Arithmetic of a neuron between two spikes, a chunk of steps at a time.
 *
 * The eligibility trace of a synapse at the end of a trial of N steps is
 *
 *   E = sum_k  w_k d_k PSP_k,   w_k = PE^(N - 1 - k),   d_k = s_k - h phi( u_k ),
 *
 * with the potentials u, the spikes s and PE the decay of the trace in a step. PSP_k is linear in
 * the arrivals of spikes, so E is a sum over arrivals of G( step of arrival ): what a unit current
 * that begins there contributes until the end. G is computed backwards in time, once for a neuron
 * and all of its synapses: let X and Y be what a unit of PSP and of current at some step contribute
 * from there on. Then for the chunk of n steps before that step
 *
 *   X <- X leak^n + sum_j w_j d_j leak^(j+1),
 *   Y <- Y decay^n + X transfer_n + sum_j w_j d_j transfer_(j+1),
 *
 * and G = Y. The two sums over steps are computed forwards in time, while the potentials are there.
 */
class TrialIntegrator
{
public:
  //! Most steps of a chunk. The tables fit into the first cache.
  static constexpr long chunk_steps = 128;

  struct Parameters
  {
    double h;       //!< length of a step in ms
    double tau_syn; //!< time constant of the synaptic current in ms
    double tau_m;   //!< time constant of the membrane in ms
    double C_m;     //!< capacitance in pF
    double E_L;     //!< resting potential in mV
    double tau_E;   //!< time constant of the trace in ms
    double rho_E;   //!< expected rate at threshold in Hz
    double delta_E; //!< width of the threshold region in mV
    double V_th_E;  //!< threshold in mV
  };

  /**
   * What happened in a chunk, and what G needs to know of it.
   *
   * Both sums are for w = 1 in the first step of the chunk.
   */
  struct Chunk
  {
    long n;        //!< number of steps
    double to_psp; //!< sum of w_j d_j leak^(j+1)
    double to_psc; //!< sum of w_j d_j transfer_(j+1)
  };

  void calibrate( const Parameters& );

  /**
   * Integrate `n` steps that begin with potential `V` (relative to E_L, in mV) and current `I` (pA),
   * without a spike of the neuron.
   *
   * @returns the largest potential in mV
   */
  double integrate( const double V, const double I, const long n, Chunk& ) const;

  //! Integrate `n` steps in which the potential is clamped to `u` (mV).
  void clamp( const double u, const long n, Chunk& ) const;

  //! Add a spike of the neuron in step `j` of the chunk.
  void
  add_spike( const long j, Chunk& chunk ) const
  {
    chunk.to_psp += weighted_leak_[ j ];
    chunk.to_psc += weighted_transfer_[ j ];
  }

  //! Potential in mV after step `j` of a chunk that begins with V and I.
  double
  potential( const double V, const double I, const long j ) const
  {
    return P_.E_L + ( V * leak_[ j ] + I * transfer_[ j ] );
  }

  void
  advance( double& V, double& I, const long n ) const
  {
    V = V * leak_[ n - 1 ] + I * transfer_[ n - 1 ];
    advance_current( I, n );
  }

  void
  advance_current( double& I, const long n ) const
  {
    I *= decay_[ n - 1 ];
  }

  //! Whether the expected number of spikes overflows at this potential.
  bool
  overflows( const double u ) const
  {
    // Written so that NaN does.
    return not( ( u - P_.V_th_E ) / P_.delta_E < 709.0 );
  }

  /**
   * The backward recursion: G at the end of the trial, before it, and so on.
   */
  class Adjoint
  {
  public:
    explicit Adjoint( const TrialIntegrator& integrator )
      : integrator_( integrator )
      , weight_( integrator.last_weight_ )
    {
    }

    //! Go to the beginning of `chunk`.
    void
    step_back( const Chunk& chunk )
    {
      const long last = chunk.n - 1;
      weight_ *= integrator_.trace_decay_[ last ];
      psc_ = psc_ * integrator_.decay_[ last ] + psp_ * integrator_.transfer_[ last ] + weight_ * chunk.to_psc;
      psp_ = psp_ * integrator_.leak_[ last ] + weight_ * chunk.to_psp;
    }

    //! Contribution to the traces at the end of a unit current that begins here.
    double
    G() const
    {
      return psc_;
    }

  private:
    const TrialIntegrator& integrator_;
    double weight_; //!< w of the step that follows
    double psp_ = 0.0;
    double psc_ = 0.0;
  };

private:
  using Table = std::array< double, chunk_steps >;

  Parameters P_;
  double rate_ = 0.0;        //!< expected spikes in a step at threshold
  double last_weight_ = 0.0; //!< w of the step that follows the last one of a trial

  // Entry j is for j + 1 steps.
  Table leak_;              //!< leak of the potential
  Table transfer_;          //!< potential per unit of current at the beginning
  Table weighted_leak_;     //!< leak divided by the decay of the trace in j steps
  Table weighted_transfer_; //!< transfer divided by the decay of the trace in j steps
  Table decay_;             //!< decay of the current
  Table trace_decay_;       //!< decay of the trace
  Table leak_sum_;          //!< sums of the first j + 1 entries of the weighted tables
  Table transfer_sum_;
};

} // namespace e2l

#endif /* #ifndef USRL_TRIAL_INTEGRATOR_H */

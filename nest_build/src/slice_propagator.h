/*
 *  slice_propagator.h
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#ifndef SLICE_PROPAGATOR_H
#define SLICE_PROPAGATOR_H

#include <vector>

namespace e2l
{

/**
 * Exact integration of an exponential current into a leaky membrane, many steps at once.
 *
 * One step of length h maps the potential V and the current I to
 *
 *   V <- V * P22 + I * P21,   I <- I * P11.
 *
 * Between two spikes this is linear, so the potential after each of k = 1, 2, ... steps is
 * `V * leak[ k ] + I * transfer[ k ]` with the k-fold propagators. Steps then do not depend on
 * each other, and the loop over them runs in vector registers instead of waiting for the
 * previous step.
 */
class SlicePropagator
{
public:
  /**
   * Compute the propagators of up to `n_steps` steps.
   *
   * @param tau_syn  time constant of the current in ms
   * @param tau_m    time constant of the membrane in ms
   * @param C_m      capacitance of the membrane in pF
   * @param h        length of a step in ms
   */
  void calibrate( double tau_syn, double tau_m, double C_m, double h, long n_steps );

  /**
   * Write `offset` plus the potential after each of `n` steps to `out`; a potential `V` (mV) and a
   * current `I` (pA) are there before the first step. Both are advanced by `n` steps.
   */
  void
  advance( double& V, double& I, const double offset, const long n, double* const out ) const
  {
    if ( n == 0 )
    {
      return;
    }
    const double V_0 = V;
    const double I_0 = I;
    const double* const leak = leak_.data();
    const double* const transfer = transfer_.data();
    for ( long k = 0; k < n; ++k )
    {
      out[ k ] = offset + ( V_0 * leak[ k ] + I_0 * transfer[ k ] );
    }
    V = V_0 * leak[ n - 1 ] + I_0 * transfer[ n - 1 ];
    I = current( I_0, n );
  }

  //! Current after `n` steps that begin with `I`.
  double
  current( const double I, const long n ) const
  {
    return n == 0 ? I : I * decay_[ n - 1 ];
  }

  //! Potential after n + 1 steps that a constant current of 1 pA causes.
  double
  step_response( const long n ) const
  {
    return step_response_[ n ];
  }

private:
  std::vector< double > leak_;          //!< P22 to the power of k, k = 1, 2, ...
  std::vector< double > transfer_;      //!< potential after k steps per unit of current
  std::vector< double > decay_;         //!< P11 to the power of k
  std::vector< double > step_response_; //!< potential after k steps per unit of constant current
};

} // namespace e2l

#endif /* #ifndef SLICE_PROPAGATOR_H */

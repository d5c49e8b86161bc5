/*
 *  stdp_homeostatic_synapse.h
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#ifndef STDP_HOMEOSTATIC_SYNAPSE_H
#define STDP_HOMEOSTATIC_SYNAPSE_H

#include "nest_headers.h"
#include "pair_stdp_synapse.h"

#include <cmath>
#include <string>

namespace e2l
{

/* BeginUserDocs: synapse, spike-timing-dependent plasticity

Short description
+++++++++++++++++

Synapse with spike-timing dependent facilitation and homeostatic depression

Description
+++++++++++

``stdp_homeostatic_synapse`` changes its weight at postsynaptic spikes only [1]_,

.. math::

   \text{weight} \leftarrow \text{weight} + W_\text{max} \lambda
     \left( 1 - \frac{\text{weight}}{W_\text{max}} \right)^{\mu_+} K_+ + W_\text{out} ,

clipped to the range from 0 to :math:`W_\text{max}`. The trace :math:`K_+` of the presynaptic neuron
grows by one with each spike and decays with the time constant ``tau_plus``. With a negative ``Wout``,
each postsynaptic spike weakens all synapses by the same amount and strengthens those that
contributed to it. Spikes are paired, and the delay is treated, as by ``stdp_synapse``.

Parameters
++++++++++

=================== ======= ========================================================================
**Common properties**
----------------------------------------------------------------------------------------------------
``lambda``          0.01    Step size of facilitation
``mu_plus``         1       Exponent of the dependence of facilitation on the weight
``Wout``            0       Change of the weight at each postsynaptic spike
``Wmax``            100     Largest weight
``tau_plus``        20 ms   Time constant of the trace of presynaptic spikes
=================== ======= ========================================================================

The common properties can only be set by :py:func:`.SetDefaults` and :py:func:`.CopyModel` and apply
to all synapses of the model.

=================== ======= ========================================================================
**Individual properties**
----------------------------------------------------------------------------------------------------
``weight``          1       Weight; it includes postsynaptic spikes up to the last presynaptic one
``delay``           1 ms    Delay, all of it dendritic
``Kplus``           0       Trace of presynaptic spikes just after the last one
=================== ======= ========================================================================

Transmits
+++++++++

SpikeEvent

References
++++++++++

.. [1] Masquelier T (2018). STDP allows close-to-optimal spatiotemporal spike pattern detection by
       single coincidence detector neurons. Neuroscience 389:133-140.
       DOI: https://doi.org/10.1016/j.neuroscience.2017.06.032

See also
++++++++

stdp_synapse, stdp_sympy_synapse

EndUserDocs */

void register_stdp_homeostatic_synapse( const std::string& name );

/**
 * Properties that all synapses of a model share.
 */
class StdpHomeostaticCommonProperties : public nest::CommonSynapseProperties
{
public:
  void get_status( Dictionary& ) const;
  void set_status( const Dictionary&, nest::ConnectorModel& );

  double
  tau_plus() const
  {
    return P_.tau_plus_;
  }

  double
  facilitate( const double weight, const double K_plus ) const
  {
    const double w = weight / P_.Wmax_;
    const double next = ( w + P_.lambda_ * std::pow( 1.0 - w, P_.mu_plus_ ) * K_plus ) * P_.Wmax_ + P_.Wout_;
    return next > 0.0 ? ( next < P_.Wmax_ ? next : P_.Wmax_ ) : 0.0;
  }

  double
  depress( const double weight, const double ) const
  {
    return weight;
  }

private:
  struct Parameters_
  {
    double lambda_ = 0.01;
    double mu_plus_ = 1.0;
    double Wout_ = 0.0;
    double Wmax_ = 100.0;
    double tau_plus_ = 20.0; //!< time constant in ms
  };

  Parameters_ P_;
};

template < typename targetidentifierT >
using stdp_homeostatic_synapse = PairStdpSynapse< targetidentifierT, StdpHomeostaticCommonProperties >;

} // namespace e2l

#endif /* #ifndef STDP_HOMEOSTATIC_SYNAPSE_H */

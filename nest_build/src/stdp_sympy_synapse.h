/*
 *  stdp_sympy_synapse.h
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#ifndef STDP_SYMPY_SYNAPSE_H
#define STDP_SYMPY_SYNAPSE_H

#include "nest_headers.h"
#include "pair_stdp_synapse.h"
#include "rule_registry.h"

#include <string>

namespace e2l
{

/* BeginUserDocs: synapse, spike-timing-dependent plasticity

Short description
+++++++++++++++++

Synapse with spike-timing dependent plasticity that follows an arbitrary rule

Description
+++++++++++

``stdp_sympy_synapse`` changes its weight at pre- and postsynaptic spikes according to two rules
that are given as text. With the normalized weight :math:`w = \text{weight} / W_\text{max}`,

.. math::

   w \leftarrow \min( 1, w + \lambda \, f_\text{facilitate}( w, K_+ ) )

at each postsynaptic spike and

.. math::

   w \leftarrow \max( 0, w - \alpha \lambda \, f_\text{depress}( w, K_- ) )

at each presynaptic spike. Facilitation has no lower and depression no upper bound. The spike traces
:math:`K_+` of the presynaptic and :math:`K_-` of the postsynaptic neuron grow by one with each
spike and decay with the time constants ``tau_plus`` and ``tau_minus``; the latter is a parameter of
the postsynaptic neuron. Rules read

* ``w`` (also ``x_0``), the normalized weight, and
* ``E`` (also ``x_1``), the spike trace: :math:`K_+` in ``expr_facilitate``, :math:`K_-` in
  ``expr_depress``.

With ``expr_facilitate`` = ``"E"`` and ``expr_depress`` = ``"E"`` this is the classic additive rule;
``"(1 - w)*E"`` and ``"w*E"`` make it multiplicative [2]_. Rules can contain numbers, ``+``, ``-``,
``*``, ``/``, ``**`` and parentheses. They are compiled to machine code when they are set; an expression that
cannot be compiled raises ``BadProperty`` and leaves the model as it was. A rule whose value is not
a number makes the weight ``Wmax`` at a postsynaptic and 0 at a presynaptic spike.

``arithmetic`` says what becomes of products of zero and infinity in the rules:

* ``"ieee"``: double precision as IEEE 754 says, so ``0*(1/0)`` and ``0/0`` are not numbers;
* ``"zero_products"``: a product is zero if a factor is, whatever the others are, and ``a/b`` is the
  product ``a*(1/b)``, so both are zero. The rules of [1]_ were found in this arithmetic.

Spikes are paired, and the delay is treated, as by ``stdp_synapse``.

Parameters
++++++++++

=================== ====== =========================================================================
**Common properties**
----------------------------------------------------------------------------------------------------
``expr_facilitate`` "0.0"  Change of the normalized weight at a postsynaptic spike
``expr_depress``    "0.0"  Minus the change of the normalized weight at a presynaptic spike
``arithmetic``      "ieee" How products are evaluated: "ieee" or "zero_products"
``lambda``          0.01   Step size
``alpha``           1      Step size of depression relative to that of facilitation
``Wmax``            100    Weight at which the normalized weight is 1
``tau_plus``        20 ms  Time constant of the trace of presynaptic spikes
=================== ====== =========================================================================

The common properties can only be set by :py:func:`.SetDefaults` and :py:func:`.CopyModel` and apply
to all synapses of the model.

=================== ====== =========================================================================
**Individual properties**
----------------------------------------------------------------------------------------------------
``weight``          1      Weight; it includes postsynaptic spikes up to the last presynaptic one
``delay``           1 ms   Delay, all of it dendritic
``Kplus``           0      Trace of presynaptic spikes just after the last one
=================== ====== =========================================================================

Transmits
+++++++++

SpikeEvent

References
++++++++++

.. [1] Jordan J, Schmidt M, Senn W, Petrovici MA (2021). Evolving interpretable plasticity for
       spiking networks. eLife 10:e66273. DOI: https://doi.org/10.7554/eLife.66273
.. [2] Morrison A, Diesmann M, Gerstner W (2008). Phenomenological models of synaptic plasticity
       based on spike timing. Biological Cybernetics 98:459-478.
       DOI: https://doi.org/10.1007/s00422-008-0233-1

See also
++++++++

stdp_synapse, stdp_homeostatic_synapse

EndUserDocs */

void register_stdp_sympy_synapse( const std::string& name );

/**
 * Properties that all synapses of a model share: the rules and their constants.
 */
class StdpSympyCommonProperties : public nest::CommonSynapseProperties
{
public:
  StdpSympyCommonProperties();

  void get_status( Dictionary& ) const;
  void set_status( const Dictionary&, nest::ConnectorModel& );

  double
  tau_plus() const
  {
    return P_.tau_plus_;
  }

  // The comparisons are written so that NaN ends at a bound, as in the original model.

  double
  facilitate( const double weight, const double K_plus ) const
  {
    const double w = weight / P_.Wmax_;
    const double next = w + P_.lambda_ * facilitate_.function( w, K_plus );
    return next < 1.0 ? next * P_.Wmax_ : P_.Wmax_;
  }

  double
  depress( const double weight, const double K_minus ) const
  {
    const double w = weight / P_.Wmax_;
    const double next = w - P_.alpha_ * P_.lambda_ * depress_.function( w, K_minus );
    return next > 0.0 ? next * P_.Wmax_ : 0.0;
  }

private:
  struct Rule
  {
    double ( *function )( double w, double E );
    RulePtr code; //!< keeps the function where it is
  };

  struct Parameters_
  {
    std::string expr_facilitate_ = "0.0";
    std::string expr_depress_ = "0.0";
    Arithmetic arithmetic_ = Arithmetic::ieee; //!< of both rules
    double lambda_ = 0.01;
    double alpha_ = 1.0;
    double Wmax_ = 100.0;
    double tau_plus_ = 20.0; //!< time constant in ms
  };

  static Rule resolve_( const std::string& expression, Arithmetic arithmetic );

  Parameters_ P_;
  Rule facilitate_;
  Rule depress_;
};

template < typename targetidentifierT >
using stdp_sympy_synapse = PairStdpSynapse< targetidentifierT, StdpSympyCommonProperties >;

} // namespace e2l

#endif /* #ifndef STDP_SYMPY_SYNAPSE_H */

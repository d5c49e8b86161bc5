/*
 *  stdp_sympy_synapse_module.cpp
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#include "nest_headers.h"
#include "rule_registry.h"
#include "spike_train_conductor.h"
#include "spike_train_source.h"
#include "stdp_sympy_synapse.h"

namespace e2l
{

class StdpSympySynapseModule : public nest::NESTExtensionInterface
{
public:
  void
  initialize() override
  {
    register_spike_train_conductor( "spike_train_conductor" );
    register_spike_train_source( "spike_train_source" );
    register_stdp_sympy_synapse( "stdp_sympy_synapse" );
  }
};

} // namespace e2l

// NEST finds a module by the name of this object.
extern "C"
  __attribute__( ( visibility( "default" ) ) ) e2l::StdpSympySynapseModule stdp_sympy_synapse_module_LTX_module;
e2l::StdpSympySynapseModule stdp_sympy_synapse_module_LTX_module;

extern "C" __attribute__( ( visibility( "default" ) ) ) void
set_rule_compiler( const e2l::RuleCompiler compiler, const e2l::RuleReleaser releaser )
{
  e2l::RuleRegistry::instance().set_compiler( compiler, releaser );
}

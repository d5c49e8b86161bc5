/*
 *  HomeostaticSTDPmodule.cpp
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
#include "stdp_homeostatic_synapse.h"

namespace e2l
{

class HomeostaticStdpModule : public nest::NESTExtensionInterface
{
public:
  void
  initialize() override
  {
    register_stdp_homeostatic_synapse( "stdp_homeostatic_synapse" );
  }
};

} // namespace e2l

// NEST finds a module by the name of this object.
extern "C" __attribute__( ( visibility( "default" ) ) ) e2l::HomeostaticStdpModule HomeostaticSTDPmodule_LTX_module;
e2l::HomeostaticStdpModule HomeostaticSTDPmodule_LTX_module;

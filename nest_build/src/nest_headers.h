/*
 *  nest_headers.h
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#ifndef NEST_HEADERS_H
#define NEST_HEADERS_H

/**
 * NEST's headers, for modules that hide their own symbols.
 *
 * A module is compiled with -fvisibility=hidden. Static members of NEST's class templates (the
 * registry of secondary events, for example) must nevertheless be the kernel's, so what NEST
 * declares keeps its default visibility.
 */
#pragma GCC visibility push( default )

// The wheel was compiled with Boost, of which it brings no headers. NEST's headers use it to print
// type names and to sort connections, and have their own code for machines without it.
#include "config.h"
#undef HAVE_BOOST

#include "nest_extension_interface.h"

#include "archiving_node.h"
#include "common_synapse_properties.h"
#include "connection.h"
#include "connector_model.h"
#include "device_node.h"
#include "event.h"
#include "event_delivery_manager_impl.h"
#include "exceptions.h"
#include "iaf_propagator.h"
#include "nest_names.h"
#include "nest_time.h"
#include "node_collection.h"
#include "recordables_map.h"
#include "spikecounter.h"
#include "universal_data_logger_impl.h"
#include "volume_transmitter.h"

#pragma GCC visibility pop

#endif /* #ifndef NEST_HEADERS_H */

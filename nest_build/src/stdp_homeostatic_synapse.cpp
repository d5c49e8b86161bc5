/*
 *  stdp_homeostatic_synapse.cpp
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#include "stdp_homeostatic_synapse.h"

namespace e2l
{

namespace names = nest::names;

void
register_stdp_homeostatic_synapse( const std::string& name )
{
  nest::register_connection_model< stdp_homeostatic_synapse >( name );
}

void
StdpHomeostaticCommonProperties::get_status( Dictionary& d ) const
{
  CommonSynapseProperties::get_status( d );
  d[ names::lambda ] = P_.lambda_;
  d[ names::mu_plus ] = P_.mu_plus_;
  d[ "Wout" ] = P_.Wout_;
  d[ names::Wmax ] = P_.Wmax_;
  d[ names::tau_plus ] = P_.tau_plus_;
}

void
StdpHomeostaticCommonProperties::set_status( const Dictionary& d, nest::ConnectorModel& cm )
{
  CommonSynapseProperties::set_status( d, cm );

  // A temporary copy: nothing changes if anything is wrong.
  Parameters_ p = P_;
  d.update_value( names::lambda, p.lambda_ );
  d.update_value( names::mu_plus, p.mu_plus_ );
  d.update_value( "Wout", p.Wout_ );
  d.update_value( names::Wmax, p.Wmax_ );
  d.update_value( names::tau_plus, p.tau_plus_ );
  // Written so that NaN fails, too.
  if ( not( p.tau_plus_ > 0 ) )
  {
    throw nest::BadProperty( "Time constant tau_plus must be > 0." );
  }
  if ( not( p.Wmax_ > 0 and std::isfinite( p.Wmax_ ) ) )
  {
    throw nest::BadProperty( "Wmax must be > 0 and finite." );
  }
  if ( not( p.mu_plus_ >= 0 ) )
  {
    throw nest::BadProperty( "Exponent mu_plus must be >= 0." );
  }
  if ( not std::isfinite( p.lambda_ ) or not std::isfinite( p.Wout_ ) )
  {
    throw nest::BadProperty( "lambda and Wout must be finite." );
  }
  P_ = p;
}

} // namespace e2l

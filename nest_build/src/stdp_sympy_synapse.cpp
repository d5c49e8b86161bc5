/*
 *  stdp_sympy_synapse.cpp
 *
 *  This file is part of e2l.
 *
 *  e2l is free software: you can redistribute it and/or modify it under the terms of the GNU
 *  General Public License as published by the Free Software Foundation, either version 3 of the
 *  License, or (at your option) any later version. It is distributed in the hope that it will be
 *  useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or
 *  FITNESS FOR A PARTICULAR PURPOSE. See <https://www.gnu.org/licenses/> for the licence.
 */

#include "stdp_sympy_synapse.h"

#include <cmath>

namespace
{

//! The rule "0.0", which models have before a rule is set.
double
zero( const double, const double )
{
  return 0.0;
}

} // namespace

namespace e2l
{

namespace names = nest::names;

void
register_stdp_sympy_synapse( const std::string& name )
{
  // Rules are called in their scalar form only.
  RuleRegistry::instance().add( "0.0", { reinterpret_cast< void* >( zero ), nullptr } );
  nest::register_connection_model< stdp_sympy_synapse >( name );
}

StdpSympyCommonProperties::StdpSympyCommonProperties()
  : facilitate_( resolve_( P_.expr_facilitate_, P_.arithmetic_ ) )
  , depress_( resolve_( P_.expr_depress_, P_.arithmetic_ ) )
{
}

StdpSympyCommonProperties::Rule
StdpSympyCommonProperties::resolve_( const std::string& expression, const Arithmetic arithmetic )
{
  const RulePtr code = RuleRegistry::instance().resolve( expression, arithmetic );
  return { reinterpret_cast< double ( * )( double, double ) >( code->scalar ), code };
}

void
StdpSympyCommonProperties::get_status( Dictionary& d ) const
{
  CommonSynapseProperties::get_status( d );
  d[ "expr_facilitate" ] = P_.expr_facilitate_;
  d[ "expr_depress" ] = P_.expr_depress_;
  d[ "arithmetic" ] = std::string( name_of( P_.arithmetic_ ) );
  d[ names::lambda ] = P_.lambda_;
  d[ names::alpha ] = P_.alpha_;
  d[ names::Wmax ] = P_.Wmax_;
  d[ names::tau_plus ] = P_.tau_plus_;
}

void
StdpSympyCommonProperties::set_status( const Dictionary& d, nest::ConnectorModel& cm )
{
  CommonSynapseProperties::set_status( d, cm );

  // Temporary copies: nothing changes if anything is wrong.
  Parameters_ p = P_;
  d.update_value( names::lambda, p.lambda_ );
  d.update_value( names::alpha, p.alpha_ );
  d.update_value( names::Wmax, p.Wmax_ );
  d.update_value( names::tau_plus, p.tau_plus_ );
  // Written so that NaN fails, too.
  if ( not( p.tau_plus_ > 0 ) )
  {
    throw nest::BadProperty( "Time constant tau_plus must be > 0." );
  }
  if ( not std::isfinite( p.Wmax_ ) or p.Wmax_ == 0.0 )
  {
    throw nest::BadProperty( "Wmax must be finite and must not be 0." );
  }
  if ( not std::isfinite( p.lambda_ ) or not std::isfinite( p.alpha_ ) )
  {
    throw nest::BadProperty( "lambda and alpha must be finite." );
  }

  std::string arithmetic = name_of( p.arithmetic_ );
  d.update_value( "arithmetic", arithmetic );
  p.arithmetic_ = arithmetic_named( arithmetic );
  const bool is_other_arithmetic = p.arithmetic_ != P_.arithmetic_;
  Rule facilitate = facilitate_;
  Rule depress = depress_;
  if ( d.update_value( "expr_facilitate", p.expr_facilitate_ ) or is_other_arithmetic )
  {
    facilitate = resolve_( p.expr_facilitate_, p.arithmetic_ );
  }
  if ( d.update_value( "expr_depress", p.expr_depress_ ) or is_other_arithmetic )
  {
    depress = resolve_( p.expr_depress_, p.arithmetic_ );
  }

  P_ = p;
  facilitate_ = facilitate;
  depress_ = depress;
}

} // namespace e2l
